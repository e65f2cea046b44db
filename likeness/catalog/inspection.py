"""What can be told of a database without changing it, and bringing its schema up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text

from likeness.catalog.chunks import decode_chunk
from likeness.catalog.engine import make_engine, parse_url, reading
from likeness.catalog.migrate import HEAD_REVISION, migrate, schema_revision
from likeness.catalog.schema import ChunkRow, SpaceRow
from likeness.errors import CatalogError


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """revision: of its schema, None when it holds no catalog yet. head: what this code knows.

    server: engine and version. exists: False for a SQLite file that is not there.
    """

    server: str
    exists: bool
    revision: str | None
    head: str = HEAD_REVISION

    @property
    def at_head(self) -> bool:
        return self.revision == self.head


def inspect_database(url: str) -> DatabaseState:
    """Look at a database; nothing is made or migrated. Raises CatalogError, SettingsError."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not _file(url).is_file():
        return DatabaseState("SQLite", exists=False, revision=None)
    engine = make_engine(parsed)
    try:
        with reading(engine) as connection:
            sqlite = connection.dialect.name == "sqlite"
            ask = "SELECT sqlite_version()" if sqlite else "SHOW server_version"
            version = str(connection.execute(text(ask)).scalar_one()).split()[0]
            name = "SQLite" if sqlite else "PostgreSQL"
            return DatabaseState(f"{name} {version}", True, schema_revision(connection))
    finally:
        engine.dispose()


def upgrade_database(url: str) -> tuple[str | None, str]:
    """The database has this version's schema; (revision before, revision now).

    Raises CatalogError when a newer Likeness has written it.
    """
    engine = make_engine(parse_url(url))
    try:
        return migrate(engine), HEAD_REVISION
    finally:
        engine.dispose()


def damages(url: str) -> Iterator[str]:
    """Every page of a SQLite file and every chunk of vectors is read; yields what is wrong."""
    engine = make_engine(parse_url(url))
    try:
        if engine.dialect.name == "sqlite":
            with reading(engine) as connection:
                for row in connection.exec_driver_sql("PRAGMA quick_check(20)"):
                    if row[0] != "ok":
                        yield f"SQLite: {row[0]}"
        dims = select(ChunkRow.id, SpaceRow.dim).join(SpaceRow, SpaceRow.id == ChunkRow.space_id)
        with reading(engine) as connection:
            places = connection.execute(dims.order_by(ChunkRow.id)).all()
        for chunk_id, dim in places:
            wanted = select(ChunkRow.data).where(ChunkRow.id == chunk_id)
            try:
                with reading(engine) as connection:
                    blob = connection.execute(wanted).scalar_one_or_none()
                if blob is not None:  # None: dropped since
                    decode_chunk(blob, dim=dim)
            except CatalogError as error:
                yield f"chunk {chunk_id}: {error}"
    finally:
        engine.dispose()


def _file(url: str) -> Path:
    database = parse_url(url).database
    assert database is not None  # parse_url has seen to it
    return Path(database).expanduser()
