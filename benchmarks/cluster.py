"""Clusters against labels, beside scikit-learn on the same vectors.

    python -m benchmarks.cluster [--data FOLDER] [--encoder NAME] [--home FOLDER]

Two labelled sets: `clothing`, by folder, and `photos`, by the narrowest WordNet parent that holds
at least ten of their classes. scikit-learn's k-means is told the number of classes, as ours is in
its row; nothing else is. Images in no cluster count as one cluster each for NMI and ARI. Figures
are means of five runs with different seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from benchmarks.record import print_table, write_result
from likeness.encoders.interface import Encoder
from likeness.encoders.loading import load_encoder
from search.clusters.methods import Size, by_hdbscan, by_kmeans, by_leiden
from search.graph.build import build_graph
from search.graph.graph import NeighbourGraph

_ROOT = Path(__file__).resolve().parent.parent
_FEWEST_CLASSES = 10
_SEEDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--encoder", default="likeness:tiny")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args(arguments)
    if not (options.data / "clothing").is_dir():
        print(f"no folder clothing in {options.data}: name the test data with --data")
        return 2
    encoder = load_encoder(options.encoder)
    figures: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    for name, files, labels in (_clothing(options.data), _photos(options.data)):
        vectors = _vectors(encoder, files, name, options.home)
        kept = np.flatnonzero(labels != "")
        halves, labels = vectors[kept].astype(np.float16), labels[kept]
        graph = build_graph(np.arange(len(halves)), halves, fingerprint="", revision=0)
        found = _clusterings(halves, labels, graph)
        figures[name] = {"images": len(halves), "classes": len(set(labels)), "methods": found}
        rows += [(name, method, *row.values()) for method, row in found.items()]
    print_table(("set", "method", "clusters", "in none", "NMI", "ARI", "purity", "seconds"), rows)
    overall = _overall(figures)
    print()
    print_table(
        ("both sets", "NMI", "ARI", "purity"),
        [(method, *row.values()) for method, row in overall.items()],
    )
    path = write_result(
        "cluster",
        command=["python", "-m", "benchmarks.cluster", *(arguments or sys.argv[1:])],
        data="clothing by folder; photos by WordNet parent",
        encoder=f"{encoder.spec.name} {encoder.fingerprint[:12]}",
        figures={"seeds": _SEEDS, "sets": figures, "means": overall},
    )
    print(f"\nwritten to {path}")
    return 0


def default_data() -> Path:
    return Path(os.environ.get("LIKENESS_TEST_DATA") or _ROOT.parent / "shared" / "data")


def photographed_clothing(data: Path, encoder: str, home: Path | None) -> npt.NDArray[np.float16]:
    """Unit vectors of all images of the set `clothing`, float16 [3068, d]."""
    name, files, _ = _clothing(data)
    return _vectors(load_encoder(encoder), files, name, home).astype(np.float16)


def _clothing(data: Path) -> tuple[str, list[Path], npt.NDArray[np.str_]]:
    files = sorted((data / "clothing").glob("*/*.jpg"))
    return "clothing", files, np.array([file.parent.name for file in files])


def _photos(data: Path) -> tuple[str, list[Path], npt.NDArray[np.str_]]:
    files = sorted((data / "photos").glob("*.jpg"))
    table = json.loads((_ROOT / "training" / "words" / "classes.json").read_text("utf-8"))
    labels = np.full(len(files), "", dtype="U64")
    # Groups come broadest last: the first that holds a class is its narrowest parent.
    for group in table["groups"]:
        if len(group["members"]) >= _FEWEST_CLASSES:
            members = np.array(group["members"])
            members = members[members < len(files)]
            labels[members[labels[members] == ""]] = group["words"][0]
    return "photos", files, labels


def _vectors(
    encoder: Encoder, files: Sequence[Path], name: str, folder: Path | None
) -> npt.NDArray[np.float32]:
    path = folder and folder / f"{encoder.fingerprint[:12]}-{name}.npy"
    if path is not None and path.is_file():
        return np.asarray(np.load(path), dtype=np.float32)
    parts = []
    for start in range(0, len(files), 64):
        images = [np.asarray(Image.open(f).convert("RGB")) for f in files[start : start + 64]]
        parts.append(encoder.embed(images))
    vectors = np.concatenate(parts)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, vectors)
    return vectors


def _clusterings(
    vectors: npt.NDArray[np.float16], labels: npt.NDArray[np.str_], graph: NeighbourGraph
) -> dict[str, dict[str, float]]:
    """Figures per method, means over the seeds. A method: random seed → cluster of each row."""
    k = len(set(labels))
    wide = vectors.astype(np.float32)

    def k_means_told(seed: int) -> npt.NDArray[Any]:
        return by_kmeans(vectors, Size.MEDIUM, k=k, random_seed=seed)

    def scikit_k_means(seed: int) -> npt.NDArray[Any]:
        return np.asarray(KMeans(k, n_init=3, random_state=seed).fit_predict(wide))

    def scikit_hdbscan(_seed: int) -> npt.NDArray[Any]:
        return np.asarray(HDBSCAN(copy=True).fit_predict(wide))

    methods: dict[str, Callable[[int], npt.NDArray[Any]]] = {
        "kmeans, told how many": k_means_told,
        "scikit-learn KMeans, told how many": scikit_k_means,
        "scikit-learn HDBSCAN": scikit_hdbscan,
    }
    for size in Size:
        methods[f"leiden {size.value}"] = partial(_leiden, graph, size)
        methods[f"kmeans {size.value}"] = partial(_k_means, vectors, size)
        methods[f"hdbscan {size.value}"] = partial(_hdbscan, vectors, size)
    return {name: _measured(method, labels) for name, method in methods.items()}


def _leiden(graph: NeighbourGraph, size: Size, seed: int) -> npt.NDArray[Any]:
    return by_leiden(graph, size, random_seed=seed)


def _k_means(vectors: npt.NDArray[np.float16], size: Size, seed: int) -> npt.NDArray[Any]:
    return by_kmeans(vectors, size, random_seed=seed)


def _hdbscan(vectors: npt.NDArray[np.float16], size: Size, seed: int) -> npt.NDArray[Any]:
    return by_hdbscan(vectors, size, random_seed=seed)


def _measured(
    method: Callable[[int], npt.NDArray[Any]], labels: npt.NDArray[np.str_]
) -> dict[str, float]:
    runs = [_one_run(method, labels, seed) for seed in range(_SEEDS)]
    return {name: round(float(np.mean([run[name] for run in runs])), 3) for name in runs[0]}


def _one_run(
    method: Callable[[int], npt.NDArray[Any]], labels: npt.NDArray[np.str_], seed: int
) -> dict[str, float]:
    begun = time.perf_counter()
    found = method(seed).astype(np.int64)
    seconds = time.perf_counter() - begun
    clusters, alone = int(found.max()) + 1, found < 0
    largest = sum(
        int(np.unique(labels[found == c], return_counts=True)[1].max()) for c in range(clusters)
    )
    each = found.copy()
    each[alone] = clusters + np.arange(int(alone.sum()))
    return {
        "clusters": clusters,
        "in none": float(alone.mean()),
        "NMI": float(normalized_mutual_info_score(labels, each)),
        "ARI": float(adjusted_rand_score(labels, each)),
        "purity": largest / max(1, int((~alone).sum())),
        "seconds": seconds,
    }


def _overall(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Means over the sets: what a default is chosen by."""
    sets = [one["methods"] for one in figures.values()]
    return {
        method: {
            name: round(float(np.mean([one[method][name] for one in sets])), 3)
            for name in ("NMI", "ARI", "purity")
        }
        for method in sets[0]
    }


if __name__ == "__main__":
    raise SystemExit(main())
