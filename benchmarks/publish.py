"""From SQL to a snapshot: rows a second of loading ids and vectors, and of a whole publish.

`load` ends when `ids.i64` and `vectors.f16` are on the disk; `publish` also reads them back,
compares them with their checksums, asks for some of the vectors and makes the index current. Both
verify every chunk that they read. The peer is what one would write first: the sqlite3 module, a
BLOB per vector, written into one file, with nothing verified. `disk` is what the bytes take as one
fsynced file and one reading back. Building codes is the affair of `benchmarks.index`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.bulk import chunks, fill
from benchmarks.record import peak_mib, print_table, write_result
from indexer import publish as publishing
from likeness.catalog import Catalog
from likeness.catalog.records import Space
from likeness.vectors.snapshot import open_snapshot, write_vectors
from tests.services.postgres import PostgresServer, find_binaries

PEER_ROWS = 200_000
ENGINES = ("sqlite", "postgresql")

Figures = dict[str, dict[str, float]]
"""By step: rows_per_s by the wall clock, cpu_us_per_row of this process."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--engine", choices=ENGINES, nargs="*", default=list(ENGINES))
    parser.add_argument("--home", type=Path, help="keep SQLite's catalog here, and use one there")
    parser.add_argument("--server", help="PostgreSQL's URL, of a database that is kept like that")
    parser.add_argument("--fill", action="store_true", help="make the catalog only")
    options = parser.parse_args(arguments)
    n, dim = options.images, options.dim
    by_engine: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(dir=options.home) as name:
        folder = Path(name)
        home = options.home or folder
        for engine in options.engine:
            with ExitStack() as stack:
                if engine == "sqlite":
                    url = f"sqlite:///{home}/catalog-{n}-{dim}.db"
                elif options.server:
                    url = options.server
                else:
                    binaries = find_binaries()
                    if binaries is None:
                        print("PostgreSQL is not installed here", file=sys.stderr)
                        continue
                    server = stack.enter_context(PostgresServer(binaries, durable=True))
                    server.create_database("bench")
                    url = server.url("bench")
                space = filled(url, n, dim)
                if not options.fill:
                    by_engine[engine] = measure(url, space, folder, n)
        if options.fill:
            return 0
        by_engine["sqlite3, a BLOB per vector"] = peer(folder, min(n, PEER_ROWS), dim)
        by_engine["nothing but the disk"] = {
            "write, fsync, read": steps_of(n, lambda: disk(folder, n, dim))
        }
    rows = [
        (name, step, figure["rows_per_s"], figure["cpu_us_per_row"])
        for name, figures in by_engine.items()
        for step, figure in figures.items()
    ]
    print_table(["from", "step", "rows/s", "own CPU, µs a row"], rows)
    print(
        f"\nmost memory, mapped pages included: {peak_mib()} MiB; vectors: {2 * n * dim >> 20} MiB"
    )
    write_result(
        f"publish-{n}x{dim}",
        command=["python", "-m", "benchmarks.publish", *arguments],
        data=f"{n} random unit vectors of {dim} numbers in chunks of 1,024",
        encoder=None,
        figures={**by_engine, "peak_mib": peak_mib()},
    )
    return 0


def filled(url: str, n: int, dim: int) -> Space:
    """The space of a catalog that was made before, else of one made now."""
    with Catalog.open(url) as catalog:
        for collection in catalog.collections():
            return collection.spaces[0].space
    begun = time.perf_counter()
    space = fill(url, n, dim)
    print(f"{n} rows were put in at {n / (time.perf_counter() - begun):,.0f} a second", flush=True)
    return space


def measure(url: str, space: Space, folder: Path, n: int) -> Figures:
    """Every step by a catalog that was opened anew; SQLite's file is not in the system's cache."""
    figures: Figures = {}

    def step(name: str, call: Callable[[Catalog], object]) -> None:
        forget(url)
        with Catalog.open(url) as catalog:
            figures[name] = steps_of(n, lambda: call(catalog))

    def read(catalog: Catalog) -> None:
        if sum(len(ids) for ids, _ in catalog.stream_vectors(space.id)) != n:
            raise SystemExit("not every row was read")

    def load(catalog: Catalog) -> None:
        (folder / "load").mkdir()
        revision = catalog.head(space.collection_id, space.id).revision
        batches = publishing.load(catalog, space, revision)
        if len(write_vectors(folder / "load", batches, space.dim, {})) != n:
            raise SystemExit("not every row was written")

    step("read", read)
    step("load", load)
    shutil.rmtree(folder / "load")
    index = folder / "index"
    step("publish", lambda catalog: publishing.publish(catalog, space, index, kind="exact"))
    (snapshot,) = (path for path in index.iterdir() if path.is_dir())
    figures["open, verified"] = steps_of(n, lambda: open_snapshot(snapshot))
    shutil.rmtree(index)
    return figures


def peer(folder: Path, n: int, dim: int) -> Figures:
    connection = sqlite3.connect(folder / "plain.db", isolation_level=None)
    connection.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, vector BLOB)")
    connection.execute("BEGIN")
    rows = ((row.tobytes(),) for block in chunks(n, dim) for row in block)
    connection.executemany("INSERT INTO images (vector) VALUES (?)", rows)
    connection.execute("COMMIT")
    forget(f"sqlite:///{folder}/plain.db")

    def load() -> None:
        ids = []
        with (folder / "plain.f16").open("wb") as file:
            for image_id, blob in connection.execute("SELECT id, vector FROM images ORDER BY id"):
                ids.append(image_id)
                file.write(blob)
            sync(file.fileno())
        np.array(ids, dtype=np.int64).tofile(folder / "plain.i64")

    figure = steps_of(n, load)
    connection.close()
    return {"load": figure}


def disk(folder: Path, n: int, dim: int) -> None:
    with (folder / "plain").open("wb") as file:
        for block in memory(n, dim):
            file.write(block)
        sync(file.fileno())
    with (folder / "plain").open("rb") as file:
        while file.read(8 << 20):
            pass


def memory(n: int, dim: int) -> Iterator[memoryview]:
    block = np.ones(8 << 20, dtype=np.uint8)
    for start in range(0, 2 * n * dim, len(block)):
        yield block[: 2 * n * dim - start].data


def sync(fd: int) -> None:
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def forget(url: str) -> None:
    """What the system keeps of SQLite's file in memory is given up."""
    path = url.removeprefix("sqlite:///")
    if path != url:
        with Path(path).open("rb") as file:
            sync(file.fileno())


def steps_of(n: int, call: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return {
        "rows_per_s": n / (time.perf_counter() - wall),
        "cpu_us_per_row": 1e6 * (time.process_time() - cpu) / n,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
