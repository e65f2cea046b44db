"""Ways to sort vectors into clusters, behind one signature: labels int32 [n], -1 for none.

All are repeatable: the same vectors, size and seed give the same labels.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.errors import InputError
from likeness.vectors.kmeans import kmeans_centroids, nearest_centroids
from likeness.vectors.knn import Vectors
from search.graph.graph import NeighbourGraph

Labels = npt.NDArray[np.int32]


class Method(StrEnum):
    """LEIDEN finds communities in the neighbour graph; EVENTS goes by time and place."""

    KMEANS = "kmeans"
    HDBSCAN = "hdbscan"
    LEIDEN = "leiden"
    EVENTS = "events"


class Size(StrEnum):
    """How large the clusters are, not how many images there are."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


_IMAGES_PER_ROOT = {Size.SMALL: 2.0, Size.MEDIUM: 0.7, Size.LARGE: 0.25}
_LEIDEN_RESOLUTION = {Size.SMALL: 6.0, Size.MEDIUM: 2.0, Size.LARGE: 0.7}
_LEIDEN_FEW = 4000
"""From here on the resolution grows with √n, as the number of clusters of k-means does: at a fixed
one, communities grow with the collection (Fortunato & Barthélemy, 2007)."""
_LEIDEN_NEIGHBOURS = 15
_HDBSCAN_DIMENSIONS = 32
_HDBSCAN_MOST = 20_000


def by_kmeans(
    vectors: Vectors, size: Size, *, k: int | None = None, random_seed: int = 0
) -> Labels:
    """Spherical k-means. k: None: by size, in proportion to the square root of n."""
    n = len(vectors)
    if n == 0:
        return np.empty(0, dtype=np.int32)
    k = min(n, k or max(2, round(_IMAGES_PER_ROOT[size] * n**0.5)))
    centroids = kmeans_centroids(
        vectors, k, random_seed=random_seed, iterations=30, sample_per_centroid=256, restarts=3
    )
    return compact(nearest_centroids(vectors, centroids)[0])


def by_leiden(graph: NeighbourGraph, size: Size, *, random_seed: int = 0) -> Labels:
    """Communities of the neighbour graph (Leiden: Traag, Waltman & van Eck, 2019).

    All edges weigh the same: neither cosines nor the share of common neighbours (PhenoGraph: Levine
    et al., 2015) made the communities more like labelled classes (decision 0008).
    """
    n = len(graph)
    if n == 0:
        return np.empty(0, dtype=np.int32)
    try:
        import igraph  # here: slow to import, and only this method needs it
        import leidenalg
    except ImportError as error:
        raise InputError(
            "the method leiden needs the packages igraph and leidenalg, which have a licence of "
            "their own (GPL): pip install 'likeness[clusters]', or choose another --method"
        ) from error

    low, high, _ = graph.edges(k=_LEIDEN_NEIGHBOURS)
    network = igraph.Graph(n=n, edges=np.column_stack([low, high]))
    partition = leidenalg.find_partition(
        network,
        leidenalg.RBConfigurationVertexPartition,
        resolution_parameter=_LEIDEN_RESOLUTION[size] * max(1.0, n / _LEIDEN_FEW) ** 0.5,
        n_iterations=4,
        seed=random_seed,
    )
    return compact(np.asarray(partition.membership, dtype=np.int32))


def by_hdbscan(vectors: Vectors, size: Size, *, random_seed: int = 0) -> Labels:
    """Dense regions, and none for the images between them (HDBSCAN: Campello et al., 2013).

    Works on the 32 main directions; in many more, everything is equally far. Up to 20,000 images
    are clustered, the others join the cluster of their nearest.
    """
    from sklearn.cluster import HDBSCAN  # here: slow to import
    from sklearn.decomposition import PCA

    n = len(vectors)
    if n < 5:
        return np.zeros(n, dtype=np.int32)
    random = np.random.default_rng(random_seed)
    rows = np.sort(random.permutation(n)[:_HDBSCAN_MOST])
    sample = np.asarray(vectors[rows], dtype=np.float32)
    dimensions = min(_HDBSCAN_DIMENSIONS, sample.shape[1], len(sample) - 1)
    reduced = PCA(dimensions, random_state=random_seed).fit_transform(sample)
    least = {Size.SMALL: 4, Size.MEDIUM: 10, Size.LARGE: 25}[size]
    # copy: our reduced rows are not needed afterwards, but the default changes between versions.
    found: Any = HDBSCAN(min_cluster_size=min(least, max(2, n // 2)), min_samples=3, copy=True)
    labels = np.full(n, -1, dtype=np.int32)
    labels[rows] = found.fit_predict(reduced)
    rest = np.setdiff1d(np.arange(n), rows)
    if len(rest):
        nearest, _ = nearest_centroids(vectors[rest], np.ascontiguousarray(sample))
        labels[rest] = labels[rows][nearest]
    return compact(labels)


def compact(labels: npt.NDArray[np.int32]) -> Labels:
    """Clusters numbered from 0, the largest first, equal sizes by their first member; -1 stays."""
    inside = labels >= 0
    values, first, inverse, counts = np.unique(
        labels[inside], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))
    number = np.empty(len(values), dtype=np.int32)
    number[order] = np.arange(len(values), dtype=np.int32)
    result = np.full(len(labels), -1, dtype=np.int32)
    result[inside] = number[inverse]
    return result
