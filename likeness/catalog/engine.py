"""One engine per catalog: how SQLite and PostgreSQL are opened, locked and spoken to.

Everything that differs between the two lives here: pragmas, how a transaction begins, how a
large set of values is given to a statement, how ids are taken from their sequence.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    Select,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from likeness.catalog.driver_errors import explain
from likeness.catalog.geography import distance_m
from likeness.errors import CatalogError, SettingsError

BUSY_TIMEOUT_MS = 60_000
"""How long a SQLite writer waits for another one."""

SILENT_WRITER_S = 20.0
"""PostgreSQL rolls a writer back that says nothing for so long within a transaction: its machine is
gone, or stopped, and would hold its locks against all others until its connection is given up."""

_WRITE_OPTION = "likeness_write"


def parse_url(url: str) -> URL:
    """Return url with the driver that this project uses.

    Raises SettingsError for an engine other than SQLite and PostgreSQL, or SQLite in memory:
    its connections would each see a database of their own.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            f"{url!r} is not a database URL; use sqlite:////path/to/catalog.db or "
            "postgresql+psycopg://user@host/name"
        ) from error
    backend = parsed.drivername.split("+")[0]
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise SettingsError(f"{url!r} names no file; use sqlite:////path/to/catalog.db")
        return parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise SettingsError(
        f"{parsed.render_as_string()}: only SQLite and PostgreSQL hold a catalog; use "
        "sqlite:////path/to/catalog.db or postgresql+psycopg://user@host/name"
    )


def make_engine(url: URL) -> Engine:
    """Return an engine whose connections are set up; nothing is connected yet."""
    if url.get_backend_name() == "sqlite":
        assert url.database is not None  # parse_url has seen to it
        folder = Path(url.database).expanduser().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogError(
                f"the catalog's folder {folder} cannot be made ({error.strerror}); name another by "
                "LIKENESS_HOME or LIKENESS_DATABASE_URL"
            ) from error
        engine = create_engine(
            url.set(database=str(Path(url.database).expanduser())),
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
            pool_size=8,
            max_overflow=64,
        )
        event.listen(engine, "connect", _set_up_sqlite)
    else:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=64,
            connect_args={
                "connect_timeout": 10,
                "application_name": "likeness",
                # A server whose machine is gone is missed after half a minute, not after hours.
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
            },
        )
    event.listen(engine, "begin", _begin)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in _begin, not where sqlite3 guesses
    connection.create_function("likeness_distance_m", 4, distance_m, deterministic=True)
    connection.create_function("likeness_unhex", 1, bytes.fromhex, deterministic=True)
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -32768",
        "mmap_size = 1073741824",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    _use_write_ahead_log(connection)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # Changing the mode does not wait for the busy timeout when another process does the same.
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE_OPTION, False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        limit = f"SET LOCAL idle_in_transaction_session_timeout = '{SILENT_WRITER_S:g}s'"
        connection.exec_driver_sql(limit)
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database throughout; it is not for writing."""
    with _explained(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits at its end. SQLite: it is the only writer from its start."""
    with (
        _explained(engine),
        engine.connect().execution_options(**{_WRITE_OPTION: True}) as connection,
        connection.begin(),
    ):
        yield connection


def fetch_one(engine: Engine, sql: str, parameters: Sequence[object]) -> tuple[Any, ...] | None:
    """Return the first row of one query with `?` marks, by the shortest way that there is.

    For what every search asks: it costs a third of a query in a transaction of its own.
    """
    with _explained(engine):
        lent = engine.raw_connection()
        try:
            row: tuple[Any, ...] | None = _execute(
                engine.dialect.name, lent.driver_connection, sql, parameters
            ).fetchone()
        finally:
            lent.close()  # gives it back
    return row


def refresh_statistics(engine: Engine) -> None:
    """PostgreSQL's planner knows how large the tables are now; SQLite's needs no telling.

    Its own housekeeping does so once a minute at most, and until then plans for small tables:
    while a first run fills them, every look-up would read the whole collection.
    """
    if engine.dialect.name == "postgresql":
        with writing(engine) as connection:
            connection.exec_driver_sql("ANALYZE images, embeddings, image_fields, image_tags")


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise explain(error.orig or error, engine.url) from error
    except SQLAlchemyError as error:
        raise CatalogError(f"{engine.url.render_as_string()}: {error}") from error
    except driver_error(engine) as error:  # from `fetch`
        raise explain(error, engine.url) from error


def driver_error(engine: Engine) -> type[Exception]:
    """Return the root of the errors that the engine's driver raises."""
    dbapi: Any = engine.dialect.loaded_dbapi
    root: type[Exception] = dbapi.Error
    return root


# --------------------------------------------------------------------------- large sets


def integers(connection: Connection, values: Sequence[int]) -> Select[tuple[int]]:
    """Return a subquery of any number of integers, for `column.in_(…)`."""
    if connection.dialect.name == "sqlite":
        return _json_values(json.dumps([int(v) for v in values], separators=(",", ":")))
    array = bindparam(None, [int(v) for v in values], type_=ARRAY(BigInteger), unique=True)
    return select(func.unnest(array).column_valued("value"))


def bound_integers(dialect: str) -> Select[Any]:
    """Return a subquery of the integers bound as `listed`, see there.

    For statements that are built once: what every search asks costs twice as much when SQLAlchemy
    puts it together anew.
    """
    if dialect == "sqlite":
        document = bindparam("listed", type_=Text)
        return select(func.json_each(document).table_valued("value").c.value)
    array = bindparam("listed", type_=ARRAY(BigInteger))
    return select(func.unnest(array).column_valued("value"))


def listed(connection: Connection, values: Sequence[int]) -> dict[str, Any]:
    """Return the integers of `bound_integers` as a parameter."""
    plain = [int(v) for v in values]
    if connection.dialect.name == "sqlite":
        return {"listed": json.dumps(plain, separators=(",", ":"))}
    return {"listed": plain}


def merely(column: Any) -> ColumnElement[int]:
    """An integer column to compare with, but not to search by.

    For `merely(t.collection_id) == …` beside a list of ids: given both plainly, SQLite takes an
    index of the collection and reads all of it, 6 ms for 20 ids of 100,000 images against 0.05 ms.
    """
    return column + 0  # type: ignore[no-any-return]


def strings(connection: Connection, values: Sequence[str]) -> Select[tuple[str]]:
    """Return a subquery of any number of strings."""
    if connection.dialect.name == "sqlite":
        return _json_values(json.dumps(list(values)))
    array = bindparam(None, list(values), type_=ARRAY(Text), unique=True)
    return select(func.unnest(array).column_valued("value"))


def byte_strings(connection: Connection, values: Sequence[bytes]) -> Select[tuple[bytes]]:
    """Return a subquery of any number of byte strings."""
    if connection.dialect.name == "sqlite":
        document = bindparam(None, json.dumps([v.hex() for v in values]), type_=Text, unique=True)
        table = func.json_each(document).table_valued("value")
        return select(func.likeness_unhex(table.c.value, type_=LargeBinary))
    # As text: the driver spends three times as long on writing an array of bytes.
    array = bindparam(None, [v.hex() for v in values], type_=ARRAY(Text), unique=True)
    value = func.unnest(array).column_valued("value")
    return select(func.decode(value, "hex", type_=LargeBinary))


def _json_values(document: str) -> Select[Any]:
    parameter = bindparam(None, document, type_=Text, unique=True)
    return select(func.json_each(parameter).table_valued("value").c.value)


def take_ids(connection: Connection, table: str, n: int) -> range | list[int]:
    """Return n ids of table that nobody else will get, ascending.

    Call it in a writing transaction. SQLite: it holds the write lock, so the ids after the last
    one ever used (`sqlite_sequence`) are free; inserting them moves that mark.
    """
    if n == 0:
        return []
    if connection.dialect.name == "sqlite":
        row = connection.exec_driver_sql(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
        ).one_or_none()
        last = 0 if row is None else int(row[0])
        return range(last + 1, last + n + 1)
    sequence = func.pg_get_serial_sequence(table, "id")
    rows = connection.execute(
        select(func.nextval(sequence)).select_from(func.generate_series(1, n))
    )
    return sorted(int(row[0]) for row in rows)


def fetch(connection: Connection, sql: str, parameters: Sequence[object]) -> Any:
    """Return the driver's own cursor over a query with `?` marks, for reads of many rows.

    PostgreSQL answers in binary, so that BLOBs are not sent as text.
    """
    return _execute(
        connection.dialect.name, connection.connection.driver_connection, sql, parameters
    )


def _execute(dialect: str, raw: Any, sql: str, parameters: Sequence[object]) -> Any:
    if dialect == "sqlite":
        return raw.execute(sql, parameters)
    return raw.cursor(binary=True).execute(sql.replace("?", "%s"), parameters)
