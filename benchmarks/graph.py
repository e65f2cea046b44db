"""The neighbour graph: recall, images/s and memory, beside FAISS flat and pynndescent.

    python -m benchmarks.graph [--n 100000] [--home FOLDER] [--peers faiss pynndescent]

The vectors are `clustered` of `vector_sets.py`, 512 numbers each. Likeness builds lists of 24, as
it stores them, and then takes in 1,000 new images; the peers give 10. Recall@10 is measured against
exhaustive answers in float32 for 500 of the rows, ties with the tenth counted as found. FAISS flat
answers 4,000 of the rows; the whole takes n / rate seconds. Every measurement is a process of its
own, so that peak memory is its own; vectors are memory-mapped, and what is mapped is counted. MiB
before: what the interpreter and the libraries of these benchmarks take before any work.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.record import peak_mib, print_table, write_result
from benchmarks.vector_sets import HELD_OUT, local_dimension, vectors_of
from likeness.types import StoredVectors
from likeness.vectors.knn import Neighbours, recall_at, top_k
from search.graph.build import build_graph, extend_graph
from search.graph.store import load_graph, save_graph

_SAMPLE = 500
_FLAT_QUERIES = 4000
_K = 10
NEW = HELD_OUT
"""Images that come in later."""


@dataclass(frozen=True, slots=True)
class Task:
    """vectors: file of float16 [at least n + 1,000, d]; the first 1,000 are the new images."""

    n: int
    vectors: Path
    graph: Path
    device: str

    def everything(self) -> StoredVectors:
        rows: StoredVectors = np.load(self.vectors, mmap_mode="r")[: NEW + self.n]
        return rows

    def old(self) -> StoredVectors:
        return self.everything()[NEW:]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="keeps the vectors between runs")
    parser.add_argument("--peers", nargs="*", default=["faiss", "pynndescent"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--measure", choices=_MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--graph", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary)
        graph = options.graph or Path(temporary) / "graph.bin"
        task = Task(options.n, home / "clustered.npy", graph, options.device)
        if options.measure:
            before = peak_mib()
            figures = _MEASURES[options.measure](task)
            peak = figures.pop("peak_mib")
            print(json.dumps(figures | {"before_mib": before, "peak_mib": peak}))
            return 0
        vectors_of("clustered", options.n, home)
        names = ["likeness", "likeness, 1000 new"]
        names += [peer for peer in options.peers if find_spec(peer)]
        runs = {name: _in_own_process(name, task) for name in names}
        dimension = _local_dimension(task)
    print_table(
        (
            f"{options.n:,} images",
            "recall@10",
            "images/s",
            "s",
            "processor s",
            "MiB before",
            "peak",
        ),
        [(name, *run.values()) for name, run in runs.items()],
    )
    path = write_result(
        f"graph-{options.n}",
        command=["python", "-m", "benchmarks.graph", *(arguments or sys.argv[1:])],
        data=f"clustered: {options.n:,} × 512, local dimension {dimension:.1f}",
        encoder=None,
        figures={"threads": os.environ.get("OMP_NUM_THREADS"), "runs": runs},
    )
    print(f"\nlocal dimension {dimension:.1f}; written to {path}")
    return 0


def _in_own_process(name: str, task: Task) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.graph", "--measure", name, "--n", str(task.n)]
    command += ["--home", str(task.vectors.parent), "--graph", str(task.graph)]
    done = subprocess.run(
        [*command, "--device", task.device], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def _measured(
    vectors: StoredVectors,
    rows: npt.NDArray[np.int64],
    found: Neighbours,
    count: int,
    begun: tuple[float, float],
) -> dict[str, Any]:
    """found: for rows. count: images answered since `begun`."""
    seconds, processor = time.perf_counter() - begun[0], time.process_time() - begun[1]
    peak = peak_mib()  # before the truth is looked for
    return {
        "recall": round(recall_at(found, _truth(vectors, rows), _K), 4),
        "rate": round(count / seconds, 1),
        "seconds": round(seconds, 1),
        "processor_s": round(processor, 1),
        "peak_mib": peak,
    }


def _truth(vectors: StoredVectors, rows: npt.NDArray[np.int64]) -> Neighbours:
    exact = top_k(vectors[rows], vectors, _K + 1, full_precision=True)
    return _without_self(exact.positions, exact.scores, rows)


def _without_self(
    positions: npt.NDArray[Any], scores: npt.NDArray[Any], rows: npt.NDArray[np.int64]
) -> Neighbours:
    scores = np.where(positions == rows[:, None], -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_K]
    return Neighbours(
        np.take_along_axis(positions, order, 1).astype(np.int32),
        np.take_along_axis(scores, order, 1).astype(np.float32),
    )


def _local_dimension(task: Task) -> float:
    vectors = task.old()
    return local_dimension(_truth(vectors, _sample(len(vectors))).scores)


def _sample(n: int) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(7).choice(n, min(n, _SAMPLE), replace=False))


def _take(neighbours: Neighbours, rows: npt.NDArray[np.int64]) -> Neighbours:
    return Neighbours(neighbours.positions[rows], neighbours.scores[rows])


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _likeness(task: Task) -> dict[str, Any]:
    vectors, begun = task.old(), _now()
    ids = np.arange(NEW, NEW + len(vectors))
    graph = build_graph(ids, vectors, fingerprint="", revision=0, device=task.device)
    save_graph(graph, task.graph)
    rows = _sample(len(vectors))
    return _measured(vectors, rows, _take(graph.neighbours, rows), len(vectors), begun)


def _likeness_update(task: Task) -> dict[str, Any]:
    vectors, begun = task.everything(), _now()
    before = load_graph(task.graph)
    if before is None:
        raise FileNotFoundError(f"{task.graph}: measure `likeness` first")
    ids = np.arange(len(vectors))
    graph = extend_graph(before, ids, vectors, revision=1, device=task.device)
    save_graph(graph, task.graph)
    rows = _sample(len(vectors))
    return _measured(vectors, rows, _take(graph.neighbours, rows), NEW, begun)


def _faiss_flat(task: Task) -> dict[str, Any]:
    from likeness.vectors.engine import load_faiss

    vectors = task.old()
    index = load_faiss().IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), 65_536):
        index.add(vectors[start : start + 65_536].astype(np.float32))
    rows = np.sort(np.random.default_rng(8).choice(len(vectors), _FLAT_QUERIES, replace=False))
    begun = _now()
    scores, positions = index.search(vectors[rows].astype(np.float32), _K + 1)
    few = rows[:_SAMPLE]
    found = _without_self(positions[:_SAMPLE], scores[:_SAMPLE], few)
    return _measured(vectors, few, found, len(rows), begun)


def _pynndescent(task: Task) -> dict[str, Any]:
    descent = importlib.import_module("pynndescent").NNDescent
    vectors = task.old()
    begun = _now()
    index = descent(vectors.astype(np.float32), metric="cosine", n_neighbors=_K + 1, random_state=0)
    positions, distances = index.neighbor_graph
    rows = _sample(len(vectors))
    found = _without_self(positions[rows], 1 - distances[rows], rows)
    return _measured(vectors, rows, found, len(vectors), begun)


_MEASURES: dict[str, Callable[[Task], dict[str, Any]]] = {
    "likeness": _likeness,
    "likeness, 1000 new": _likeness_update,
    "faiss": _faiss_flat,
    "pynndescent": _pynndescent,
}


if __name__ == "__main__":
    raise SystemExit(main())
