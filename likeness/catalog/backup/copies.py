"""Copying a database out and in: SQLite by its online backup, PostgreSQL by COPY in one snapshot.

Both see the database as it is at one moment and hold up no writer. The files are on the disk when
`copy_out` returns. `copy_in` changes everything or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from likeness.catalog.backup import postgresql, sqlite
from likeness.catalog.backup.postgresql import TableCopy
from likeness.catalog.engine import make_engine, parse_url
from likeness.errors import SettingsError

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """engine: `sqlite` or `postgresql`. revision: of the schema. tables: of PostgreSQL only.

    The files are named in the folder that the copy was written to.
    """

    engine: str
    revision: str
    tables: tuple[TableCopy, ...] = ()


def copy_out(url: str, folder: Path) -> DatabaseCopy:
    """The database as of now stands in files of the folder.

    Raises CatalogError when it cannot be read, OSError when the folder does not take it.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == SQLITE:
        assert parsed.database is not None  # parse_url has seen to it
        revision = sqlite.copy_out(Path(parsed.database).expanduser(), folder / sqlite.FILE_NAME)
        return DatabaseCopy(SQLITE, revision)
    engine = make_engine(parsed)
    try:
        revision, tables = postgresql.copy_out(engine, folder)
    finally:
        engine.dispose()
    return DatabaseCopy(POSTGRESQL, revision, tuple(tables))


def check_target(url: str, copy: DatabaseCopy, *, replace: bool) -> None:
    """Raises SettingsError when the copy belongs into another engine, CatalogError when the
    database is in use, holds something (unless `replace`), or this code is too old for it."""
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    if backend != copy.engine:
        raise SettingsError(
            f"the backup holds a {_NAMES[copy.engine]} database and {parsed.render_as_string()} "
            f"is none; set LIKENESS_DATABASE_URL to {_WANTED[copy.engine]}"
        )
    if backend == SQLITE:
        assert parsed.database is not None  # parse_url has seen to it
        sqlite.check_target(Path(parsed.database).expanduser(), copy.revision, replace=replace)
        return
    engine = make_engine(parsed)
    try:
        postgresql.check_target(engine, copy.revision, replace=replace)
    finally:
        engine.dispose()


def copy_in(url: str, folder: Path, copy: DatabaseCopy) -> None:
    """The database is what it was when the copy was made; `check_target` comes first.

    What the database held until now is gone. Raises CatalogError; nothing is changed then.
    """
    parsed = parse_url(url)
    if copy.engine == SQLITE:
        assert parsed.database is not None  # parse_url has seen to it
        sqlite.copy_in(folder / sqlite.FILE_NAME, Path(parsed.database).expanduser())
        return
    engine = make_engine(parsed)
    try:
        postgresql.copy_in(engine, folder, copy.revision, copy.tables)
    finally:
        engine.dispose()


def sync_files(paths: Sequence[Path]) -> None:
    """The bytes of the files are on the disk."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


_NAMES = {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL"}
_WANTED = {
    SQLITE: "nothing, or to sqlite:////path/to/catalog.db",
    POSTGRESQL: "postgresql+psycopg://user@host/name",
}
