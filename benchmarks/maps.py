"""Maps of a collection in the plane: how far neighbours stay neighbours, per second.

    python -m benchmarks.maps [--n 20000] [--home FOLDER] [--data FOLDER] [--only NAME]

Without --n, the embedded photos of `clothing`; with it, so many of the vectors `clustered` of
`vector_sets.py`. Each way has a process of its own. It first maps 500 vectors, which loads and
compiles what it needs (that is `first s`, paid once per process), then all (`s`). Ours and "UMAP of
the stored graph" start from the neighbour graph that the product has anyway; the others find
neighbours themselves. Trustworthiness is that of 1,000 images and their 10 neighbours on the map;
kept: the share of the true 10 nearest among the 10 nearest on the map.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.cluster import default_data, photographed_clothing
from benchmarks.record import peak_mib, print_table, write_result
from benchmarks.vector_sets import vectors_of
from likeness.types import StoredVectors
from likeness.vectors.knn import top_k
from search.clusters.map import make_map, trustworthiness
from search.graph.build import build_graph
from search.graph.graph import NeighbourGraph
from search.graph.store import load_graph, save_graph

Places: TypeAlias = npt.NDArray[np.float32]
Way: TypeAlias = Callable[[StoredVectors, NeighbourGraph], Any]
_FEW = 500


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maps")
    parser.add_argument("--n", type=int)
    parser.add_argument("--home", type=Path, help="keeps vectors between runs")
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--encoder", default="likeness:tiny")
    parser.add_argument("--only", choices=_WAYS, action="append")
    parser.add_argument("--measure", choices=_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(_measured(_WAYS[options.measure], options.vectors)))
        return 0
    names = [name for name in options.only or _WAYS if find_spec(_PACKAGES[name])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        if options.n:
            vectors: StoredVectors = vectors_of(
                "clustered", options.n, options.home or Path(folder)
            )[0]
            what = f"clustered: {options.n:,} × {vectors.shape[1]}"
        else:
            vectors = photographed_clothing(options.data, options.encoder, options.home)
            what = f"clothing: {len(vectors):,} × {vectors.shape[1]}, {options.encoder}"
        np.save(path, np.asarray(vectors))
        save_graph(_graph(vectors), path.with_suffix(".graph"))
        runs = {name: _in_own_process(name, path) for name in names}
    print_table(
        (what, "trustworthiness", "kept", "s", "first s", "peak MiB"),
        [(name, *run.values()) for name, run in runs.items()],
    )
    path = write_result(
        f"maps-{options.n or 'clothing'}",
        command=["python", "-m", "benchmarks.maps", *(arguments or sys.argv[1:])],
        data=what,
        encoder=None if options.n else options.encoder,
        figures={"threads": os.environ.get("OMP_NUM_THREADS"), "runs": runs},
    )
    print(f"\nwritten to {path}")
    return 0


def _graph(vectors: StoredVectors) -> NeighbourGraph:
    return build_graph(np.arange(len(vectors)), vectors, fingerprint="", revision=0)


def _in_own_process(name: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.maps", "--measure", name, "--vectors", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def _measured(way: Way, path: Path) -> dict[str, float]:
    vectors: StoredVectors = np.load(path)
    graph = load_graph(path.with_suffix(".graph"))
    if graph is None:
        raise FileNotFoundError(path.with_suffix(".graph"))
    few = vectors[: min(_FEW, len(vectors))]
    begun = time.perf_counter()
    way(few, _graph(few))
    compiled = time.perf_counter()
    places = np.asarray(way(vectors, graph), dtype=np.float32)
    seconds = time.perf_counter() - compiled
    peak = peak_mib()
    return {
        "trustworthiness": round(trustworthiness(vectors, places), 4),
        "kept": round(_kept(vectors, places), 4),
        "seconds": round(seconds, 1),
        "first_s": round(compiled - begun, 1),
        "peak_mib": peak,
    }


def _kept(vectors: StoredVectors, places: Places, k: int = 10, sample: int = 1000) -> float:
    """Share of the k nearest that are among the k nearest on the map too, over a sample."""
    rows = np.sort(np.random.default_rng(1).choice(len(vectors), min(len(vectors), sample), False))
    true = top_k(vectors[rows], vectors, k + 1, full_precision=True).positions
    shared = 0
    for row, near in zip(rows, true, strict=True):
        flat = ((places - places[row]) ** 2).sum(axis=1)
        flat[row] = np.inf
        shared += len(set(np.argpartition(flat, k)[:k].tolist()) & set(near.tolist()) - {row})
    return shared / (k * len(rows))


def _ours(vectors: StoredVectors, graph: NeighbourGraph) -> Any:
    return make_map(graph.image_ids, vectors, graph).places


def _pacmap(vectors: StoredVectors, _graph: NeighbourGraph) -> Any:
    wide = vectors.astype(np.float32)
    return importlib.import_module("pacmap").PaCMAP(random_state=0).fit_transform(wide, init="pca")


def _umap(vectors: StoredVectors, _graph: NeighbourGraph) -> Any:
    umap = importlib.import_module("umap").UMAP
    return umap(metric="cosine", random_state=0).fit_transform(vectors.astype(np.float32))


def _umap_of_graph(vectors: StoredVectors, graph: NeighbourGraph) -> Any:
    umap = importlib.import_module("umap").UMAP
    own = np.arange(len(graph))[:, None]
    positions = np.concatenate([own, graph.neighbours.positions[:, :14]], axis=1)
    distances = np.concatenate([0.0 * own, 1 - graph.neighbours.scores[:, :14]], axis=1)
    near = (positions.astype(np.int32), np.maximum(distances, 0).astype(np.float32))
    way = umap(metric="cosine", random_state=0, n_neighbors=15, precomputed_knn=near)
    return way.fit_transform(vectors.astype(np.float32))


def _opentsne(vectors: StoredVectors, _graph: NeighbourGraph) -> Any:
    tsne = importlib.import_module("openTSNE").TSNE
    return tsne(metric="cosine", random_state=0, n_jobs=-1).fit(vectors.astype(np.float32))


_WAYS: dict[str, Way] = {
    "t-SNE of the stored graph (ours)": _ours,
    "PaCMAP": _pacmap,
    "UMAP": _umap,
    "UMAP of the stored graph": _umap_of_graph,
    "openTSNE, its own neighbours": _opentsne,
}
_PACKAGES = {
    "t-SNE of the stored graph (ours)": "openTSNE",
    "PaCMAP": "pacmap",
    "UMAP": "umap",
    "UMAP of the stored graph": "umap",
    "openTSNE, its own neighbours": "openTSNE",
}


if __name__ == "__main__":
    raise SystemExit(main())
