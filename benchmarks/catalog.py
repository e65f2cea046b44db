"""Rows a second of the catalog's large operations, on SQLite and on a PostgreSQL of its own.

The peer is what one would write first: the sqlite3 module with a row and a BLOB per vector. Both
databases are durable: every commit is on disk before the next begins. Time on the processor stands
beside the wall clock, since other work on the machine disturbs only the latter.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bulk import empty_space
from benchmarks.record import print_table, write_result
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, Collection, SourceFacts, Space, Stored
from likeness.catalog.where import parse_where
from likeness.types import ImageFacts, StoredVectors
from tests.services.postgres import PostgresServer, find_binaries

BATCH = 1000
RUNS = 3

Figures = dict[str, float]
"""rows_per_s: by the wall clock; cpu_us_per_row: of this process."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    options = parser.parse_args(arguments)
    n, dim = options.images - options.images % BATCH, options.dim
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        figures["sqlite3, a BLOB per vector"] = measure_plain(Path(folder) / "plain.db", n, dim)
        url = f"sqlite:///{folder}/catalog.db"
        figures["Likeness, SQLite"] = measure_catalog(url, n, dim)
    binaries = find_binaries()
    if binaries is None:
        print("PostgreSQL is not installed here (Debian: postgresql); SQLite only", file=sys.stderr)
    else:
        with PostgresServer(binaries, durable=True) as server:
            server.create_database("bench")
            figures["Likeness, PostgreSQL"] = measure_catalog(server.url("bench"), n, dim)
    rows = [
        (step, name, figure["rows_per_s"], figure["cpu_us_per_row"])
        for step in figures["Likeness, SQLite"]
        for name, steps in figures.items()
        if (figure := steps.get(step)) is not None
    ]
    print_table(["step", "database", "rows/s", "own CPU, µs a row"], rows)
    write_result(
        "catalog",
        command=["python", "-m", "benchmarks.catalog", *arguments],
        data=f"{n} random unit vectors of {dim} numbers, committed {BATCH} at a time",
        encoder=None,
        figures=figures,
    )
    return 0


def measure_catalog(url: str, n: int, dim: int) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    with Catalog.open(url) as catalog:
        space = empty_space(catalog, dim)
        collection = catalog.collection("default")
        batches = list(made_up(space, n, dim))
        figures["commit"] = one_by_one(
            partial(catalog.commit_batch, collection.id, batch) for batch in batches
        )
        again = batches[: max(1, len(batches) // 10)]
        figures["commit again, nothing new"] = timed(
            len(again) * BATCH, lambda: commit_all(catalog, collection, again)
        )
        sources = [i.source for batch in again for i in batch.items if isinstance(i, Stored)]
        figures["known by place"] = timed(
            len(sources), lambda: catalog.known_by_uri(collection.id, [s.uri for s in sources])
        )
        figures["known by bytes"] = timed(
            len(sources), lambda: catalog.known_by_hash(collection.id, [s.sha256 for s in sources])
        )
    figures["stream, newly opened"] = timed(n, lambda: exhaust(url, space))
    with Catalog.open(url) as catalog:
        head = catalog.head(collection.id, space.id).revision
        figures["changes of the last tenth"] = timed(
            n // 10, lambda: catalog.changes_since(space.id, head - len(batches) // 10)
        )
        some = np.random.default_rng(1).integers(1, n, BATCH)
        figures[f"vectors of {BATCH} at random"] = timed(
            BATCH, lambda: catalog.vectors(space.id, some)
        )
        where = parse_where("width:..1000 taken:2019.. -path:*7.jpg OR camera:*pixel*")
        figures["filter"] = timed(n, lambda: catalog.filter_ids(collection.id, where))
        figures["every ready id"] = timed(n, lambda: catalog.filter_ids(collection.id))
    return figures


def measure_plain(path: Path, n: int, dim: int) -> dict[str, Figures]:
    """The same vectors as a row each."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL").close()
    connection.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, path TEXT, vector BLOB)")

    def commit(number: int, rows: StoredVectors) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO images (path, vector) VALUES (?, ?)",
            [(f"/photos/{number}/{i}.jpg", row.tobytes()) for i, row in enumerate(rows)],
        )
        connection.execute("COMMIT")

    def read() -> None:
        out = np.empty((n, dim), np.float16)
        found = connection.execute("SELECT id, vector FROM images ORDER BY id")
        for at, (_, blob) in enumerate(found):
            out[at] = np.frombuffer(blob, np.float16)

    batches = ((i, vectors(i * BATCH, dim)) for i in range(n // BATCH))
    figures = {"commit": one_by_one(partial(commit, i, rows) for i, rows in batches)}
    figures["stream, newly opened"] = timed(n, read)
    connection.close()
    return figures


def timed(rows: int, work: Callable[[], object], *, runs: int = RUNS) -> Figures:
    """Medians over runs. CPU: of this process alone, without the database server's."""
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "rows_per_s": rows / statistics.median(walls),
        "cpu_us_per_row": 1e6 * statistics.median(cpus) / rows,
    }


def one_by_one(work: Iterable[Callable[[], object]]) -> Figures:
    """Medians over pieces of work of BATCH rows each, which can be done only once."""
    figures = [timed(BATCH, piece, runs=1) for piece in work]
    return {name: statistics.median(f[name] for f in figures) for name in figures[0]}


def commit_all(catalog: Catalog, collection: Collection, batches: list[Batch]) -> None:
    for batch in batches:
        catalog.commit_batch(collection.id, batch)


def exhaust(url: str, space: Space) -> None:
    with Catalog.open(url) as catalog:  # nothing is cached in this process
        for _ in catalog.stream_vectors(space.id):
            pass


def made_up(space: Space, n: int, dim: int) -> Iterator[Batch]:
    for start in range(0, n, BATCH):
        items = [
            Stored(
                SourceFacts(
                    f"file:///home/someone/Pictures/{start // BATCH:04}/IMG_{i:08}.jpg",
                    f"/home/someone/Pictures/{start // BATCH:04}/IMG_{i:08}.jpg",
                    hashlib.sha256(i.to_bytes(8, "little")).hexdigest(),
                    size=3_000_000 + i,
                    mtime_ns=1_700_000_000_000_000_000 + i,
                ),
                ImageFacts(
                    width=i % 4000 + 1,
                    height=3000,
                    format="jpeg",
                    camera_make="Google",
                    camera_model=f"Pixel {i % 9}",
                    latitude=48 + i % 100 / 100,
                    longitude=16.4,
                ),
                i - start,
            )
            for i in range(start, start + BATCH)
        ]
        yield Batch(items, {space.id: vectors(start, dim)})


def vectors(seed: int, dim: int) -> StoredVectors:
    """float16 [BATCH, dim], L2 norm 1."""
    rows = np.random.default_rng(seed).standard_normal((BATCH, dim), dtype=np.float32)
    unit: StoredVectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
