"""What a search costs besides the scan: our public call against raw FAISS on the same vectors.

The vectors are clustered at random; time does not depend on what they mean.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.record import print_table, write_result
from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.types import ImageFacts, StoredVectors, Tower
from search.request import SearchRequest, VectorTerm
from search.service import Searcher

K = 10
BATCH = 64
ROWS_PER_COMMIT = 4096


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args(arguments)
    vectors = clustered(options.images + BATCH, options.dim)
    stored, queries = vectors[:-BATCH], vectors[-BATCH:].astype(np.float32)
    with (
        tempfile.TemporaryDirectory() as folder,
        Catalog.open(f"sqlite:///{folder}/catalog.db") as catalog,
    ):
        figures = measure(catalog, Path(folder), stored, queries, options.repeats)
    write_result(
        "search",
        command=["python", "-m", "benchmarks.search", *arguments],
        data=f"{options.images} clustered random vectors of {options.dim} numbers",
        encoder=None,
        figures=figures,
    )
    return 0


def measure(
    catalog: Catalog, folder: Path, stored: StoredVectors, queries: np.ndarray, repeats: int
) -> dict[str, Any]:
    space, commit_s = fill(catalog, stored)
    begun = time.perf_counter()
    publish(catalog, space, folder / "index")
    publish_s = time.perf_counter() - begun

    flat = faiss.IndexFlatIP(stored.shape[1])
    flat.add(stored.astype(np.float32))
    half = faiss.IndexScalarQuantizer(
        stored.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    half.add(stored.astype(np.float32))

    searcher = Searcher(
        catalog,
        index_dir=lambda _: folder / "index",
        encoder_of=_no_encoder,
        load_image=_no_image,
    )

    def ours(rows: slice, where: str | None = None) -> None:
        requests = [SearchRequest((VectorTerm(q),), k=K, where=where) for q in queries[rows]]
        searcher.search_many("default", requests)

    begun = time.perf_counter()
    ours(slice(1))
    opened_s = time.perf_counter() - begun
    one, many = slice(1), slice(BATCH)
    calls: list[tuple[str, int, Callable[[], object]]] = [
        ("FAISS flat, fp32", 1, lambda: flat.search(queries[one], K)),
        ("FAISS SQ, fp16", 1, lambda: half.search(queries[one], K)),
        ("Likeness", 1, lambda: ours(one)),
        ("Likeness, filter of 1 %", 1, lambda: ours(one, "width:1")),
        ("Likeness, filter of 10 %", 1, lambda: ours(one, "width:1..10")),
        ("Likeness, filter of 50 %", 1, lambda: ours(one, "width:1..50")),
        (f"FAISS flat, fp32, {BATCH} at once", BATCH, lambda: flat.search(queries[many], K)),
        (f"FAISS SQ, fp16, {BATCH} at once", BATCH, lambda: half.search(queries[many], K)),
        (f"Likeness, {BATCH} at once", BATCH, lambda: ours(many)),
    ]
    rows, figures = [], dict[str, Any]()
    for name, asked, call in calls:
        p50, p99 = latency_ms(call, repeats if asked == 1 else max(5, repeats // 10))
        rows.append((name, p50 / asked, p50, p99))
        figures[name] = {"per_query_ms": p50 / asked, "p50_ms": p50, "p99_ms": p99}
    print_table(["search", "ms a query", "p50 of the call", "p99"], rows)
    rates = {
        "commit_rows_per_s": len(stored) / commit_s,
        "publish_rows_per_s": len(stored) / publish_s,
        "open_and_first_answer_s": opened_s,
    }
    print()
    print_table(["step", "figure"], list(rates.items()))
    searcher.close()
    return figures | rates


def fill(catalog: Catalog, stored: StoredVectors) -> tuple[Space, float]:
    """A space with all vectors; widths 1 to 100 in turn, for filters. Seconds it took."""
    begun = time.perf_counter()
    collection = catalog.create_collection("default")
    space = catalog.ensure_space(
        collection.id,
        encoder="none:vectors",
        fingerprint="00" * 32,
        dim=stored.shape[1],
        towers=frozenset({Tower.IMAGE}),
    )
    for start in range(0, len(stored), ROWS_PER_COMMIT):
        rows = stored[start : start + ROWS_PER_COMMIT]
        items = [
            Stored(
                SourceFacts(f"file:///{at}.jpg", f"/{at}.jpg", f"{at:064x}", size=1, mtime_ns=1),
                ImageFacts(width=1 + at % 100, height=1, format="jpeg"),
                at - start,
            )
            for at in range(start, start + len(rows))
        ]
        catalog.commit_batch(collection.id, Batch(items, {space.id: rows}))
    return space, time.perf_counter() - begun


def clustered(n: int, dim: int, *, seed: int = 0) -> StoredVectors:
    """float16 [n, dim], unit length, around 1,000 centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((1000, dim), dtype=np.float32)
    out = np.empty((n, dim), dtype=np.float16)
    for start in range(0, n, 50_000):
        stop = min(n, start + 50_000)
        rows = centres[random.integers(0, 1000, stop - start)]
        rows = rows + random.standard_normal(rows.shape, dtype=np.float32)
        out[start:stop] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def latency_ms(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """p50 and p99 after one warm-up call."""
    call()
    spent = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - begun))
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 99))


def _no_encoder(_space: Space) -> Any:
    raise AssertionError("every query is a vector")


def _no_image(_data: bytes, _name: str) -> Any:
    raise AssertionError("every query is a vector")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
