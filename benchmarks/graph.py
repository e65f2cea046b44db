"""The neighbour graph: recall, images/s and memory, beside FAISS flat and pynndescent.

    python -m benchmarks.graph [--n 100000 --n 1000000] [--dim 512] [--peers faiss pynndescent]

Vectors are synthetic and clustered: a hundred images to a cluster on average, sizes as skewed as in
real collections, clusters in families. Recall@10 is measured against exhaustive answers for 500 of
the rows, ties with the tenth counted as found. FAISS flat answers 4,000 of the rows; its rate is
that of these, since the whole takes n / rate seconds. Every measurement is a process of its own, so
that peak memory is its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.record import print_table, write_result
from likeness.vectors.knn import Neighbours, recall_at, top_k
from search.graph.build import build_graph, extend_graph

_SAMPLE = 500
_FLAT_QUERIES = 4000
_PER_CLUSTER = 100
_NEW_SHARE = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph")
    parser.add_argument("--n", type=int, action="append")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--peers", nargs="*", default=["faiss", "pynndescent"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(_MEASURES[options.measure](options.vectors, options.device)))
        return 0
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for n in options.n or [100_000, 1_000_000]:
            path = Path(folder) / f"vectors-{n}.npy"
            np.save(path, clustered(n, options.dim))
            names = ["likeness", "likeness-update"]
            names += [peer for peer in options.peers if find_spec(peer)]
            for name in names:
                figures = _in_own_process(name, path, options.device)
                results.append({"n": n, "dim": options.dim, "what": name, **figures})
                print(f"{n:,} {name}: {figures}", file=sys.stderr, flush=True)
            path.unlink()
    print_table(
        ("images", "what", "recall@10", "images/s", "seconds", "peak MiB"),
        [(r["n"], r["what"], r["recall"], r["rate"], r["seconds"], r["peak_mib"]) for r in results],
    )
    path = write_result(
        "graph",
        command=["python", "-m", "benchmarks.graph", *(arguments or sys.argv[1:])],
        data=f"synthetic clustered unit vectors of {options.dim} dimensions",
        encoder=None,
        figures={"runs": results},
    )
    print(f"\nwritten to {path}")
    return 0


def clustered(n: int, dim: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """float16 [n, dim], unit rows: families of clusters, of skewed sizes and different density."""
    random = np.random.default_rng(seed)
    clusters = max(2, n // _PER_CLUSTER)
    families = random.standard_normal((max(2, clusters // 20), dim)).astype(np.float32)
    centres = families[random.integers(0, len(families), clusters)]
    centres = centres + 0.7 * random.standard_normal((clusters, dim)).astype(np.float32)
    share = random.pareto(1.2, clusters) + 0.2
    of = random.choice(clusters, n, p=share / share.sum())
    spread = random.uniform(0.3, 1.0, clusters).astype(np.float32)
    rows = np.empty((n, dim), dtype=np.float16)
    for start in range(0, n, 50_000):
        block = of[start : start + 50_000]
        noise = random.standard_normal((len(block), dim), dtype=np.float32)
        made = centres[block] + spread[block, None] * noise
        rows[start : start + 50_000] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return rows


def _in_own_process(name: str, path: Path, device: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.graph", "--measure", name]
    done = subprocess.run(
        [*command, "--vectors", str(path), "--device", device],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(
    vectors: npt.NDArray[Any],
    rows: npt.NDArray[np.int64],
    found: Neighbours,
    count: int,
    begun: float,
) -> dict[str, Any]:
    """found: for rows. count: images answered since `begun`."""
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    exact = top_k(vectors[rows], vectors, 11, full_precision=True)
    own = exact.positions == rows[:, None]
    scores = np.sort(np.where(own, -np.inf, exact.scores), axis=1)[:, ::-1][:, :10]
    truth = Neighbours(exact.positions[:, :10], np.ascontiguousarray(scores))
    return {
        "recall": round(recall_at(found, truth, 10), 4),
        "seconds": round(seconds, 1),
        "rate": round(count / seconds, 1),
        "peak_mib": round(peak),
        "processor_s": round(time.process_time(), 1),
    }


def _sample(n: int) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(7).choice(n, min(n, _SAMPLE), replace=False))


def _take(neighbours: Neighbours, rows: npt.NDArray[np.int64]) -> Neighbours:
    return Neighbours(neighbours.positions[rows], neighbours.scores[rows])


def _likeness(path: Path, device: str) -> dict[str, Any]:
    vectors = np.load(path, mmap_mode="r")
    begun = time.perf_counter()
    graph = build_graph(
        np.arange(len(vectors)), vectors, fingerprint="", revision=0, k=10, device=device
    )
    rows = _sample(len(vectors))
    return _measured(vectors, rows, _take(graph.neighbours, rows), len(vectors), begun)


def _likeness_update(path: Path, device: str) -> dict[str, Any]:
    """One image in a hundred is new; the graph of the others is there."""
    vectors = np.load(path, mmap_mode="r")
    n = len(vectors)
    old = n - max(1, int(_NEW_SHARE * n))
    before = build_graph(
        np.arange(old), vectors[:old], fingerprint="", revision=0, k=10, device=device
    )
    begun = time.perf_counter()
    graph = extend_graph(before, np.arange(n), vectors, revision=1, device=device)
    rows = _sample(n)
    return _measured(vectors, rows, _take(graph.neighbours, rows), n - old, begun)


def _faiss_flat(path: Path, _device: str) -> dict[str, Any]:
    from likeness.vectors.engine import load_faiss

    vectors = np.load(path).astype(np.float32)
    index = load_faiss().IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    rows = np.arange(min(len(vectors), _FLAT_QUERIES))
    begun = time.perf_counter()
    scores, positions = index.search(vectors[rows], 11)
    own = positions == rows[:, None]
    scores = np.sort(np.where(own, -np.inf, scores), axis=1)[:, ::-1][:, :10]
    found = Neighbours(positions[:, :10].astype(np.int32), np.ascontiguousarray(scores))
    few = rows[:_SAMPLE]
    return _measured(vectors, few, _take(found, few), len(rows), begun)


def _pynndescent(path: Path, _device: str) -> dict[str, Any]:
    descent = importlib.import_module("pynndescent").NNDescent
    vectors = np.load(path).astype(np.float32)
    begun = time.perf_counter()
    index = descent(vectors, metric="cosine", n_neighbors=11, random_state=0)
    positions, distances = index.neighbor_graph
    own = positions == np.arange(len(positions))[:, None]
    scores = np.sort(np.where(own, -np.inf, 1 - distances), axis=1)[:, ::-1][:, :10]
    found = Neighbours(positions[:, :10].astype(np.int32), np.ascontiguousarray(scores))
    rows = _sample(len(vectors))
    return _measured(vectors, rows, _take(found, rows), len(vectors), begun)


_MEASURES = {
    "likeness": _likeness,
    "likeness-update": _likeness_update,
    "faiss": _faiss_flat,
    "pynndescent": _pynndescent,
}


if __name__ == "__main__":
    raise SystemExit(main())
