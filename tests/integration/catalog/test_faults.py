"""Kills, full disks, damaged files and lost servers: whole batches, or a clear error."""

from __future__ import annotations

import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, make_url

from likeness.catalog import Catalog, engine
from likeness.catalog.engine import writing
from likeness.catalog.records import Space
from likeness.errors import CatalogError, CatalogUnavailable
from likeness.types import ImageState
from tests.fakes.catalogs import make_space, sha256_of, store, vectors_of

ROOT = Path(__file__).resolve().parents[3]

WRITER = """
import sys
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, Moved
from tests.fakes.catalogs import failed, make_space, source, store
catalog = Catalog.open(sys.argv[1])
space = make_space(catalog, catalog.create_collection("default"))
print("ready", flush=True)
for batch in range(int(sys.argv[2]), 10_000):
    names = {f"{batch} {i}": 100 * batch + i for i in range(50)}
    ids = store(catalog, space, names, others=[failed(f"bad {batch}", None)]).stored
    moved = [Moved(source(f"{batch} moved {i}", 100 * batch + i), ids[i]) for i in range(10)]
    catalog.commit_batch(space.collection_id, Batch(moved))
"""


def check_whole_batches(catalog: Catalog, space: Space) -> int:
    """Every batch is there whole or not at all; return the number of the next one."""
    rows = catalog.list_images(space.collection_id, limit=1_000_000)
    assert not [row for row in rows if row.state is ImageState.GONE]
    batches: dict[int, list[str]] = {}
    contents: dict[int, int] = {}
    for row in rows:
        match = re.fullmatch(r"/(?:(\d+) (?:moved )?(\d+)|bad (\d+))", row.path)
        assert match is not None
        batch = int(match[1] or match[3])
        batches.setdefault(batch, []).append(row.path)
        if match[2]:
            contents[row.id] = 100 * batch + int(match[2])
            assert row.sha256 == sha256_of(contents[row.id])
    for paths in batches.values():
        assert len(paths) == 51
        assert sum(" moved " in path for path in paths) in (0, 10)
    found = {}
    for image_ids, vectors in catalog.stream_vectors(space.id):
        found |= zip(image_ids.tolist(), vectors.tolist(), strict=True)
    expected = vectors_of([contents[i] for i in sorted(contents)]).tolist()
    assert found == dict(zip(sorted(contents), expected, strict=True))
    return max(batches, default=-1) + 1


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_and_repeats_nothing(catalog_url: str) -> None:
    chance = random.Random(5)
    following = 0
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, catalog_url, str(following)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Catalog.open(catalog_url) as catalog:
            space = make_space(catalog, catalog.create_collection("default"))
            following = check_whole_batches(catalog, space)
    assert following > 0
    if catalog_url.startswith("sqlite"):
        connection = sqlite3.connect(make_url(catalog_url).database or "")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()


def test_a_full_disk_is_an_error_and_the_catalog_stays_as_it_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    with Catalog.open(url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        ids = store(catalog, space, {"a": 1}).stored
    with Catalog.open(url) as catalog:
        catalog._engine.dispose()

        @event.listens_for(catalog._engine, "connect")
        def limit_pages(connection: sqlite3.Connection, _record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 3}").close()

        with pytest.raises(CatalogError, match="disk is full; free some space"):
            store(catalog, space, {f"{i}": i for i in range(2000)})
        assert catalog.filter_ids(space.collection_id).tolist() == list(ids)
    with Catalog.open(url) as catalog:
        assert len(store(catalog, space, {f"{i}": i for i in range(2000)}).stored) == 2000


def test_a_damaged_database_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    with Catalog.open(f"sqlite:///{path}") as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        store(catalog, space, {f"{i}": i for i in range(500)})
    data = bytearray(path.read_bytes())
    for page in range(8192, len(data) - 4096, 4096):
        data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    with pytest.raises(CatalogError, match="damaged"):
        read_everything(f"sqlite:///{path}", space)


def read_everything(url: str, space: Space) -> None:
    with Catalog.open(url) as catalog:
        list(catalog.stream_vectors(space.id))
        catalog.list_images(space.collection_id)


def test_a_lock_that_is_held_too_long_is_passing_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalog.db"
    monkeypatch.setattr("likeness.catalog.engine.BUSY_TIMEOUT_MS", 100)
    with Catalog.open(f"sqlite:///{path}") as catalog:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogUnavailable, match="stayed locked by another process"):
            catalog.create_collection("default")
        assert catalog.collections() == []  # readers do not wait
        other.execute("ROLLBACK")
        other.close()
        catalog.create_collection("default")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CatalogError, match="cannot be made"):
        Catalog.open(f"sqlite:///{tmp_path}/file/home/catalog.db")


@pytest.mark.services
def test_lost_connections_are_passing_trouble_and_are_made_anew(postgres_url: str) -> None:
    with Catalog.open(postgres_url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        a, b = store(catalog, space, {"a": 1, "b": 2}).stored
        pages = catalog.stream_vectors(space.id, rows=1)
        assert next(pages)[0].tolist() == [a]
        drop_connections(postgres_url)
        assert next(pages)[0].tolist() == [b]  # a page is a transaction of its own
        with pytest.raises(CatalogUnavailable, match="cannot be reached now"):
            lose_connection_within(catalog, postgres_url)
        assert catalog.filter_ids(space.collection_id).tolist() == [a, b]


def lose_connection_within(catalog: Catalog, url: str) -> None:
    with writing(catalog._engine) as connection:
        drop_connections(url)
        connection.exec_driver_sql("SELECT 1")


def drop_connections(url: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.services
def test_a_writer_that_falls_silent_holds_its_locks_against_others_for_a_while_only(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine that loses its power, or its network, in the middle of a commit."""
    assert engine.SILENT_WRITER_S <= 30, "workers have a minute to recover"
    with Catalog.open(postgres_url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        store(catalog, space, {"before": 1})
        monkeypatch.setattr(engine, "SILENT_WRITER_S", 0.5)
        silent = writing(catalog.engine)
        connection = silent.__enter__()
        connection.exec_driver_sql("UPDATE collections SET revision = revision + 1")
        monkeypatch.undo()
        began = time.monotonic()
        store(catalog, space, {"after": 2})
        assert 0.2 < time.monotonic() - began < 20
        with pytest.raises(CatalogUnavailable):
            silent.__exit__(None, None, None)
        assert catalog.counts(space.collection_id).ready == 2
