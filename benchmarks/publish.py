"""From SQL to an index: rows a second of reading the vectors, writing the snapshot, and both.

The vectors are clustered at random. `write` is the snapshot writer fed from memory; `disk` is what
the same bytes take as one fsynced file, and one reading back, with nothing else done to them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import print_table, write_result
from benchmarks.search import clustered, fill
from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.types import StoredVectors
from likeness.vectors.snapshot import open_snapshot, write_snapshot

ROWS = 65_536


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--database-url", help="default: SQLite in a temporary folder")
    options = parser.parse_args(arguments)
    stored = clustered(options.images, options.dim)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = options.database_url or f"sqlite:///{folder}/catalog.db"
        with Catalog.open(url) as catalog:
            figures = measure(catalog, folder, stored)
    engine = url.partition(":")[0].partition("+")[0]
    print_table(["step", "rows/s"], [(step, rate) for step, rate in figures.items()])
    write_result(
        f"publish-{engine}",
        command=["python", "-m", "benchmarks.publish", "--images", str(options.images)],
        data=f"{options.images} clustered random vectors of {options.dim} numbers",
        encoder=None,
        figures=figures,
    )
    return 0


def measure(catalog: Catalog, folder: Path, stored: StoredVectors) -> dict[str, Any]:
    n = len(stored)
    space, commit_s = fill(catalog, stored)

    def read() -> None:
        assert sum(len(ids) for ids, _ in catalog.stream_vectors(space.id)) == n

    def batches() -> Any:
        for start in range(0, n, ROWS):
            block = stored[start : start + ROWS]
            yield np.arange(start, start + len(block)), block

    def write() -> None:
        write_snapshot(
            folder / "written",
            batches(),
            fingerprint="",
            dim=stored.shape[1],
            revision=1,
            digest="",
        )

    return {
        "commit": n / commit_s,
        "read from SQL": n / seconds(read),
        "disk: write, fsync, read": n / seconds(lambda: plain_file(folder / "plain", stored)),
        "write": n / seconds(write),
        "open, verified": n / seconds(lambda: open_snapshot(folder / "written")),
        "publish, exact": n
        / seconds(lambda: publish(catalog, space, folder / "index", kind="exact")),
        "publish, compressed": n
        / seconds(lambda: publish(catalog, space, folder / "index", kind="compressed")),
    }


def plain_file(path: Path, stored: StoredVectors) -> None:
    with path.open("wb") as file:
        file.write(stored.data)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with path.open("rb") as file:
        while file.read(8 << 20):
            pass


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
