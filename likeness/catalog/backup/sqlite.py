"""SQLite's online backup (sqlite.org/backup.html), in one step: one read transaction of a WAL
database, which no writer waits for."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from likeness.catalog.driver_errors import explain
from likeness.catalog.engine import BUSY_TIMEOUT_MS, parse_url
from likeness.catalog.migrate import HEAD_REVISION
from likeness.errors import CatalogError

FILE_NAME = "catalog.sqlite3"
_BESIDE = ("-wal", "-shm", "-journal")


def copy_out(database: Path, target: Path) -> str:
    """`target` is a whole, checked copy of the database as of now; returns its schema revision."""
    try:
        with (
            closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT_MS / 1000)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)  # pages=-1: all of it in one read transaction
            copy.execute("PRAGMA journal_mode = DELETE").close()  # one file, without a log beside
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise CatalogError(
                    f"{database} is damaged ({found}); `likeness doctor --deep` says more; restore "
                    "an earlier backup"
                )
            revision = str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except sqlite3.Error as error:
        raise explain(error, parse_url(f"sqlite:///{database}")) from error
    return revision


def check_target(database: Path, revision: str, *, replace: bool) -> None:
    """Raises CatalogError when the file is there (unless `replace`) or in use, or this code is
    older than the copy."""
    refuse_newer(revision)
    if not database.exists():
        return
    if not replace:
        raise CatalogError(
            f"{database} is there already; restore into another --home, or say --replace to have "
            "it moved aside"
        )
    try:
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            # Leaving the write-ahead log takes the database for oneself: whoever else has it open
            # is noticed.
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            busy = mode != "delete"
    except sqlite3.OperationalError:
        busy = True
    except sqlite3.DatabaseError:  # damaged, which may be why a backup is restored
        busy = False
    if busy:
        raise CatalogError(
            f"{database} is in use; stop whatever works with it (serve, worker, watch, index) and "
            "restore again"
        )


def copy_in(source: Path, database: Path) -> None:
    """The database's file is the copy; it appears whole."""
    database.parent.mkdir(parents=True, exist_ok=True)
    partial = database.with_name(f".{database.name}.restoring")
    try:
        with source.open("rb") as original, partial.open("wb") as file:
            while part := original.read(1 << 22):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        for ending in _BESIDE:  # a log of what was here before would be applied to the copy
            database.with_name(database.name + ending).unlink(missing_ok=True)
        partial.replace(database)
    except OSError as error:
        raise CatalogError(f"{database} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(database.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refuse_newer(revision: str) -> None:
    """Raises CatalogError for a schema that only a newer Likeness knows."""
    if revision > HEAD_REVISION:
        raise CatalogError(
            f"the backup was made by a newer Likeness (schema {revision}, this one knows up to "
            f"{HEAD_REVISION}); upgrade Likeness, then restore"
        )
