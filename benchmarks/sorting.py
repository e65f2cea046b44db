"""Both jobs end to end on 100,000 images' worth of vectors: time and peak memory.

    python -m benchmarks.sorting [--n 100000] [--dim 512]

A catalog is filled with clustered vectors and perceptual hashes, one image in twenty a planted copy
of another; then copies are found (graph, shortlist, groups) and the collection is clustered, by
the same classes as the commands. There are no files behind the images: pairs are judged by their
hashes, as where files cannot be read, so the time of looking at pictures is not in here
(0.6 ms a pair and 12 ms an image of one core: `docs/decisions/0006`). Each job is a process of its
own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import peak_mib, print_table, write_result
from benchmarks.vector_sets import clustered
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.catalog.sorting.clusters import ClusterRecords
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.encoders.interface import Encoder
from likeness.types import ImageFacts, RgbImage, Tower
from search.clusters.methods import Method, Size
from search.clusters.service import Clusterer, ClusterRequest
from search.duplicates.calibrate import DEFAULT_MAX_FALSE, Calibration
from search.duplicates.finder import DuplicateFinder, DuplicateRequest, Side
from search.duplicates.relations import Thresholds

_COPY_EVERY = 20
_BATCH = 4000
_LIMIT_MIB = 3 * 1024
_COLLECTION = "default"


class _NoPictures:
    """Nothing can be read."""

    def small(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        return iter([None] * len(uris))

    def fine(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        return iter([None] * len(uris))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sorting")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--job", choices=_JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job:
        with Catalog.open(f"sqlite:///{options.home}/catalog.db") as catalog:
            space = catalog.spaces(catalog.collection(_COLLECTION).id)[0]
            begun, processor = time.perf_counter(), time.process_time()
            found = _JOBS[options.job](catalog, space, options.home)
        print(
            json.dumps(
                {
                    "found": found,
                    "seconds": round(time.perf_counter() - begun, 1),
                    "processor_s": round(time.process_time() - processor, 1),
                    "peak_mib": peak_mib(),
                }
            )
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), options.n, options.dim)
        results = {job: _in_own_process(job, Path(folder)) for job in _JOBS}
    print_table(
        ("job", "found", "seconds", "processor s", "peak MiB"),
        [(job, *figures.values()) for job, figures in results.items()],
    )
    path = write_result(
        "sorting",
        command=["python", "-m", "benchmarks.sorting", *(arguments or sys.argv[1:])],
        data=f"{options.n:,} synthetic clustered vectors of {options.dim} dimensions with hashes",
        encoder=None,
        figures=results,
    )
    print(f"\nwritten to {path}")
    return int(max(figures["peak_mib"] for figures in results.values()) > _LIMIT_MIB)


def _fill(folder: Path, n: int, dim: int) -> None:
    """Image i with i % 20 == 19 is a copy of image i - 1: near in vector and hash."""
    random = np.random.default_rng(1)
    vectors = clustered(n, dim)
    hashes = random.integers(0, 256, (n, 32), dtype=np.uint8)
    copies = np.arange(_COPY_EVERY - 1, n, _COPY_EVERY)
    noisy = vectors[copies - 1].astype(np.float32)
    noisy += random.standard_normal(noisy.shape).astype(np.float32) * (0.2 / dim**0.5)
    vectors[copies] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    hashes[copies] = hashes[copies - 1]
    hashes[copies, random.integers(0, 32, len(copies))] ^= 0b1001
    with Catalog.open(f"sqlite:///{folder}/catalog.db") as catalog:
        collection = catalog.create_collection(_COLLECTION)
        space = catalog.ensure_space(
            collection.id,
            encoder="synthetic",
            fingerprint="synthetic",
            dim=dim,
            towers=frozenset({Tower.IMAGE}),
        )
        for start in range(0, n, _BATCH):
            rows = range(start, min(n, start + _BATCH))
            items = [_stored(row, start, hashes[row].tobytes()) for row in rows]
            batch = Batch(items, {space.id: vectors[start : start + _BATCH]})
            catalog.commit_batch(collection.id, batch)
        calibration = Calibration(Thresholds(far_cosine=0.3), DEFAULT_MAX_FALSE, n, 0, 0.0)
        DuplicateRecords(catalog).save_calibration(space.id, n, calibration.to_json())


def _stored(row: int, start: int, bits: bytes) -> Stored:
    path = f"/photos/{row // 1000:04}/{row:07}.jpg"
    facts = ImageFacts(4000, 3000, "jpeg", perceptual_hash=bits, perceptual_hash_quality=90)
    source = SourceFacts(f"file://{path}", path, f"{row:064x}", 3_000_000, row * 10**9)
    return Stored(source, facts, row - start)


def _in_own_process(job: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.sorting", "--job", job, "--home", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _duplicates(catalog: Catalog, space: Space, folder: Path) -> str:
    def no_encoder() -> Encoder:
        raise RuntimeError("the thresholds are stored; nothing is to be embedded")

    finder = DuplicateFinder(catalog, Side(space, folder), _NoPictures(), no_encoder)
    report = finder.find(DuplicateRequest())
    return f"{len(report.groups):,} groups of {report.candidates:,} pairs"


def _clusters(method: Method, catalog: Catalog, space: Space, folder: Path) -> str:
    run = Clusterer(catalog, space, folder).run(ClusterRequest(method, Size.MEDIUM))
    return f"{len(ClusterRecords(catalog).clusters(run.id)):,} clusters"


_JOBS = {
    "duplicates": _duplicates,
    "leiden": lambda *given: _clusters(Method.LEIDEN, *given),
    "kmeans": lambda *given: _clusters(Method.KMEANS, *given),
}


if __name__ == "__main__":
    raise SystemExit(main())
