"""The schema: made by migrations, equal to the models, whoever starts first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from likeness.catalog import Catalog
from likeness.catalog.engine import make_engine, parse_url, reading, writing
from likeness.catalog.migrate import HEAD_REVISION, alembic_config
from likeness.catalog.schema import Base
from likeness.errors import CatalogError, SettingsError
from tests.fakes.catalogs import make_space, store

ROOT = Path(__file__).resolve().parents[3]


def test_the_newest_migration_is_the_one_that_the_code_knows() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD_REVISION


def test_migrations_make_exactly_the_models(catalog_url: str) -> None:
    Catalog.open(catalog_url).close()
    engine = make_engine(parse_url(catalog_url))
    with reading(engine) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
        found = inspect(connection)  # Alembic does not compare the conditions of indexes
        for table in Base.metadata.sorted_tables:
            there = {index["name"]: index for index in found.get_indexes(table.name)}
            for index in table.indexes:
                dialect = connection.dialect.name
                has_condition = index.dialect_options[dialect]["where"] is not None
                options = there[index.name].get("dialect_options", {})
                assert (f"{dialect}_where" in options) == has_condition, index.name
    engine.dispose()


def test_opening_again_keeps_what_is_there(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        store(catalog, space, {"a": 1})
    with Catalog.open(catalog_url) as catalog:
        assert catalog.counts(space.collection_id).ready == 1


def test_a_database_newer_than_the_code_is_left_alone(catalog_url: str) -> None:
    Catalog.open(catalog_url).close()
    engine = make_engine(parse_url(catalog_url))
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogError, match=r"newer Likeness \(schema 9999.*upgrade Likeness"):
        Catalog.open(catalog_url)
    with reading(engine) as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        assert found == "9999"
    engine.dispose()


def test_processes_that_start_at_once_all_find_a_catalog(catalog_url: str) -> None:
    code = (
        "import sys; from likeness.catalog import Catalog; sys.stdin.read(1)\n"
        "with Catalog.open(sys.argv[1]) as catalog:\n"
        "    print(catalog.create_collection('default').id)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, catalog_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(4)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=120) for process in running]
    assert [out.strip() for out, _ in outcomes] == ["1"] * 4, outcomes


def test_a_file_that_is_no_database_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"This is a letter, not a database." * 100)
    with pytest.raises(CatalogError, match=r"catalog\.db is damaged or is no catalog"):
        Catalog.open(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"This is a letter")


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(CatalogError, match="cannot be reached") as caught:
        Catalog.open("postgresql://someone:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://host/name", "only SQLite and PostgreSQL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("catalog.db", "is not a database URL"),
    ],
)
def test_a_url_that_cannot_hold_a_catalog_is_refused(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        Catalog.open(url)
