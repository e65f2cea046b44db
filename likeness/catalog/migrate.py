"""Bringing a database to the schema that this code knows, however many processes start at once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, select, text

from likeness.catalog.engine import reading, writing
from likeness.errors import CatalogError

HEAD_REVISION = "0005"
"""The newest migration; a test holds it equal to the newest file in `migrations/versions`."""

_ADVISORY_LOCK = 0x6C696B65_6E657373  # "likeness"


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's settings for the packaged migrations, on connection when given."""
    config = Config()
    config.set_main_option("script_location", str(_migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migrate(engine: Engine) -> str | None:
    """The database now has the schema of HEAD_REVISION; its rows are kept.

    Returns the migration that it was at before, None for an empty database.
    Raises CatalogError when a newer Likeness has written it. Nothing is changed then.
    """
    with reading(engine) as connection:
        if schema_revision(connection) == HEAD_REVISION:
            return HEAD_REVISION
    with writing(engine) as connection:  # SQLite: this is the lock
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
            ).close()
        found = schema_revision(connection)
        if found == HEAD_REVISION:  # another process was faster
            return found
        config = alembic_config(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise CatalogError(
                f"{engine.url.render_as_string()} was written by a newer Likeness (schema {found}, "
                f"this one knows up to {HEAD_REVISION}); upgrade Likeness, or name another database"
            )
        command.upgrade(config, "head")
    return found


def schema_revision(connection: Connection) -> str | None:
    """The migration that the database is at; None when it holds no catalog yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(
        select(text("version_num")).select_from(text("alembic_version"))
    ).scalar()


def _migrations_folder() -> Path:
    spec = importlib.util.find_spec("migrations")
    if spec is None or spec.origin is None or not (Path(spec.origin).parent / "env.py").exists():
        raise CatalogError(
            "the package `migrations` that belongs to Likeness cannot be found; install Likeness "
            "again (`pip install --force-reinstall likeness`)"
        )
    return Path(spec.origin).parent
