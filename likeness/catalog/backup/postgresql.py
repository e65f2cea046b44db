"""PostgreSQL's COPY, every table under one repeatable-read snapshot: consistent, whatever is
written meanwhile, and without a `pg_dump` of the server's version."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from psycopg import sql
from sqlalchemy import Connection, Engine, inspect, text

from likeness.catalog.backup.sqlite import refuse_newer
from likeness.catalog.driver_errors import explain
from likeness.catalog.engine import reading, writing
from likeness.catalog.migrate import alembic_config, schema_revision
from likeness.catalog.schema import Base
from likeness.errors import CatalogError

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A table's rows in the file NAME.copy, COPY's binary format, columns in this order.

    next_id: what its id sequence gives next; None when it has none.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    next_id: int | None

    @property
    def file_name(self) -> str:
        return f"{self.name}.copy"


def copy_out(engine: Engine, folder: Path) -> tuple[str, list[TableCopy]]:
    """Every table's rows as of one moment, in files; (schema revision, tables in the order in
    which they can be filled again)."""
    with reading(engine) as connection:
        revision = schema_revision(connection)
        if revision is None:
            raise CatalogError(f"{engine.url.render_as_string()} holds no catalog")
        return revision, [
            _copy_table(connection, table.name, folder) for table in Base.metadata.sorted_tables
        ]


def check_target(engine: Engine, revision: str, *, replace: bool) -> None:
    """Raises CatalogError when the database holds collections (unless `replace`), others are
    connected to it, or this code is older than the copy."""
    refuse_newer(revision)
    where = engine.url.render_as_string()
    with reading(engine) as connection:
        others = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        ).scalar_one()
        if others:
            raise CatalogError(
                f"{where} is in use by {others} other connection(s); stop whatever works with it "
                "(serve, worker, watch, index) and restore again"
            )
        if inspect(connection).has_table("collections") and not replace:
            held = connection.execute(text("SELECT count(*) FROM collections")).scalar_one()
            if held:
                raise CatalogError(
                    f"{where} holds {held} collection(s) already; name an empty database, or say "
                    "--replace to have them replaced for good"
                )


def copy_in(engine: Engine, folder: Path, revision: str, tables: Sequence[TableCopy]) -> None:
    """The database holds those tables and no other rows. One transaction: all of it or nothing."""
    try:
        with writing(engine) as connection:
            ours = {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"}
            for name in inspect(connection).get_table_names():
                if name in ours or name in {table.name for table in tables}:
                    connection.exec_driver_sql(f'DROP TABLE "{name}" CASCADE')
            command.upgrade(alembic_config(connection), revision)
            names = ", ".join(f'"{table.name}"' for table in tables)
            connection.exec_driver_sql(f"TRUNCATE {names}")
            for table in tables:
                _fill_table(connection, table, folder)
    except psycopg.Error as error:
        raise explain(error, engine.url) from error


def _copy_table(connection: Connection, name: str, folder: Path) -> TableCopy:
    columns = [column["name"] for column in inspect(connection).get_columns(name)]
    ask = sql.SQL("COPY {} ({}) TO STDOUT (FORMAT binary)").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, (folder / f"{name}.copy").open("wb") as file:
        with cursor.copy(ask) as rows:
            for block in rows:
                file.write(block)
        copied = int(cursor.rowcount)
        file.flush()
        os.fsync(file.fileno())
    return TableCopy(name, tuple(columns), copied, _next_id(connection, name, columns))


def _next_id(connection: Connection, name: str, columns: Sequence[str]) -> int | None:
    """Sequences do not belong to the snapshot: this is at least what the rows have used."""
    sequence = _sequence(connection, name) if "id" in columns else None
    if sequence is None:
        return None
    ask = f"SELECT last_value, is_called FROM {sequence}"  # noqa: S608 - quoted by the server
    last, called = connection.exec_driver_sql(ask).one()
    return int(last) + bool(called)


def _sequence(connection: Connection, name: str) -> str | None:
    found = connection.execute(
        text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": f'"{name}"'}
    ).scalar()
    return None if found is None else str(found)


def _fill_table(connection: Connection, table: TableCopy, folder: Path) -> None:
    fill = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, (folder / table.file_name).open("rb") as file:
        with cursor.copy(fill) as rows:
            while block := file.read(_BLOCK):
                rows.write(block)
        if cursor.rowcount != table.rows:
            raise CatalogError(
                f"{folder / table.file_name} holds {cursor.rowcount} rows where {table.rows} were "
                "written; the backup is damaged, take another"
            )
    if table.next_id is not None:
        connection.execute(
            text("SELECT setval(CAST(:sequence AS regclass), :value, false)"),
            {"sequence": _sequence(connection, table.name), "value": table.next_id},
        ).close()
