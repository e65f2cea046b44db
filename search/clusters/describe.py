"""What a cluster is like: its middle, its cover, how close it holds together, its facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.catalog.records import ImageRow
from likeness.types import Embeddings
from likeness.vectors.knn import Vectors
from search.clusters.methods import Labels
from search.graph.graph import NeighbourGraph

_BLOCK = 65_536
_LISTED = 3
EDGE = 0.05
"""Share of a cluster's own members that lie further out than its edge."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of k clusters. centroids: float32 [k, d], L2 norm 1; sizes: int64 [k].

    typicality: float32 [n], cosine of each image to its cluster's centroid, 0 for none.
    covers: int64 [k], the row of the most typical image. coherence: float32 [k], mean typicality.
    edges: float32 [k], the typicality below which a new image does not belong.
    """

    centroids: Embeddings
    sizes: npt.NDArray[np.int64]
    typicality: npt.NDArray[np.float32]
    covers: npt.NDArray[np.int64]
    coherence: npt.NDArray[np.float32]
    edges: npt.NDArray[np.float32]


def shape_of(vectors: Vectors, labels: Labels) -> Shape:
    """The shape of every cluster 0 … max(labels). vectors: [n, d], L2 norm 1."""
    k = int(labels.max(initial=-1)) + 1
    sums = np.zeros((k, vectors.shape[1]), dtype=np.float64)
    for start in range(0, len(labels), _BLOCK):
        rows = slice(start, start + _BLOCK)
        inside = labels[rows] >= 0
        np.add.at(sums, labels[rows][inside], np.asarray(vectors[rows], dtype=np.float32)[inside])
    norms = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    centroids = (sums / norms).astype(np.float32)
    typicality = typicality_of(vectors, labels, centroids)
    sizes = np.bincount(labels[labels >= 0], minlength=k).astype(np.int64)
    covers = np.zeros(k, dtype=np.int64)
    coherence, edges = np.zeros(k, dtype=np.float32), np.zeros(k, dtype=np.float32)
    order = np.lexsort((-typicality, labels))
    starts = np.searchsorted(labels[order], np.arange(k + 1))
    for cluster in range(k):
        members = order[starts[cluster] : starts[cluster + 1]]
        if len(members):
            covers[cluster] = members[0]
            coherence[cluster] = typicality[members].mean()
            edges[cluster] = np.quantile(typicality[members], EDGE)
    return Shape(centroids, sizes, typicality, covers, coherence, edges)


def typicality_of(
    vectors: Vectors, labels: Labels, centroids: Embeddings
) -> npt.NDArray[np.float32]:
    """Cosine of each image to its cluster's centroid, float32 [n]; 0 for none."""
    typicality = np.zeros(len(labels), dtype=np.float32)
    for start in range(0, len(labels), _BLOCK):
        rows = slice(start, start + _BLOCK)
        own = labels[rows]
        inside = own >= 0
        block = np.asarray(vectors[rows], dtype=np.float32)[inside]
        values = np.zeros(len(own), dtype=np.float32)
        values[inside] = np.einsum("nd,nd->n", block, centroids[own[inside]])
        typicality[rows] = values
    return typicality


def joined(
    vectors: Vectors, centroids: Embeddings, edges: npt.NDArray[np.float32]
) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Where new images belong: the nearest centroid, none (-1) beyond its edge; and typicality."""
    if not len(centroids) or not len(vectors):
        return np.full(len(vectors), -1, np.int32), np.zeros(len(vectors), np.float32)
    cosine = np.asarray(vectors, dtype=np.float32) @ centroids.T
    nearest = cosine.argmax(axis=1)
    typicality = cosine[np.arange(len(cosine)), nearest]
    inside = typicality >= edges[nearest]
    labels = np.where(inside, nearest, -1).astype(np.int32)
    return labels, np.where(inside, typicality, 0).astype(np.float32)


def facts_of(rows: Sequence[ImageRow]) -> dict[str, Any]:
    """Time span, cameras, places and folders of a cluster's images, the most frequent first."""
    times = [row.facts.taken_at for row in rows if row.facts and row.facts.taken_at]
    cameras = Counter(
        row.facts.camera_model for row in rows if row.facts and row.facts.camera_model
    )
    places = [
        (row.facts.latitude, row.facts.longitude)
        for row in rows
        if row.facts and row.facts.latitude is not None and row.facts.longitude is not None
    ]
    folders = Counter(str(PurePosixPath(row.path).parent) for row in rows)
    facts: dict[str, Any] = {
        "cameras": [camera for camera, _ in cameras.most_common(_LISTED)],
        "folders": [folder for folder, _ in folders.most_common(_LISTED)],
    }
    if times:
        facts["from"], facts["to"] = min(times).isoformat(), max(times).isoformat()
    if places:
        middle = np.median(np.array(places), axis=0)
        facts["place"] = [round(float(middle[0]), 4), round(float(middle[1]), 4)]
        facts["with_place"] = len(places)
    return facts


def outliers(graph: NeighbourGraph, limit: int) -> list[tuple[int, float]]:
    """Images unlike everything, as (image id, how much), the strangest first.

    How much: the mean distance (1 - cosine) to the five nearest, over that of those five
    themselves, a simplified local outlier factor (Breunig et al., 2000): 1 is usual.
    """
    if len(graph) < 3:
        return []
    scores = graph.neighbours.scores[:, :5]
    near = np.where(np.isfinite(scores), 1 - scores, np.nan)
    own = np.nanmean(near, axis=1) + 1e-3
    positions = np.maximum(graph.neighbours.positions[:, :5], 0)
    factor = own / own[positions].mean(axis=1)
    strangeness = factor * own / np.median(own)
    order = np.lexsort((graph.image_ids, -strangeness))[:limit]
    return [(int(graph.image_ids[row]), float(strangeness[row])) for row in order]


def hierarchy(
    centroids: Embeddings, sizes: npt.NDArray[np.int64], levels: Sequence[int]
) -> Mapping[int, npt.NDArray[np.int32]]:
    """For each number of groups, which group every cluster is in: int32 [k]. To zoom out.

    Average linkage on the cosines of centroids; each level is a coarsening of the finer ones.
    Groups are numbered by size, in images.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    k = len(centroids)
    if k < 2:
        return {level: np.zeros(k, dtype=np.int32) for level in levels}
    tree = linkage(pdist(centroids, "cosine"), "average")
    result = {}
    for level in levels:
        groups = fcluster(tree, t=min(level, k), criterion="maxclust") - 1
        weight = np.bincount(groups, weights=sizes)
        rank = np.empty(len(weight), dtype=np.int32)
        rank[np.lexsort((np.arange(len(weight)), -weight))] = np.arange(len(weight))
        result[level] = rank[groups].astype(np.int32)
    return result
