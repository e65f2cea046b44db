"""k-means on the unit sphere, by FAISS, trained on a sample and repeatable for a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from likeness.telemetry import pulse
from likeness.types import Embeddings
from likeness.vectors.engine import load_faiss

_SAMPLE_PER_CENTROID = 64


def kmeans_centroids(
    vectors: npt.NDArray[np.float16] | npt.NDArray[np.float32],
    k: int,
    *,
    random_seed: int = 0,
    iterations: int = 20,
    sample_per_centroid: int = _SAMPLE_PER_CENTROID,
    restarts: int = 1,
) -> Embeddings:
    """k unit centroids (Lloyd; spherical k-means: Dhillon & Modha, 2001).

    vectors: [n, d], L2 norm 1, n >= k. Trained on at most k × sample_per_centroid of them, chosen
    by the seed. restarts: runs from other starts; the one with the best objective stays.
    """
    n, d = vectors.shape
    if not 1 <= k <= n:
        raise ValueError(f"{n} vectors cannot be sorted into {k} cells")
    random = np.random.default_rng(random_seed)
    size = min(n, k * sample_per_centroid)
    rows = np.sort(random.choice(n, size, replace=False)) if size < n else np.arange(n)
    sample = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    trainer = load_faiss().Kmeans(
        d,
        k,
        niter=iterations,
        nredo=restarts,
        spherical=True,
        seed=random_seed + 1,
        min_points_per_centroid=1,
        max_points_per_centroid=sample_per_centroid,
    )
    trainer.train(sample)
    centroids = np.asarray(trainer.centroids, dtype=np.float32)
    return np.ascontiguousarray(centroids / np.linalg.norm(centroids, axis=1, keepdims=True))


def nearest_centroids(
    vectors: npt.NDArray[np.float16] | npt.NDArray[np.float32], centroids: Embeddings
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Each vector's nearest centroid, int32 [n], and the cosine to it, float32 [n]."""
    labels = np.empty(len(vectors), dtype=np.int32)
    scores = np.empty(len(vectors), dtype=np.float32)
    faiss = load_faiss()
    for start in range(0, len(vectors), 65_536):
        pulse.beat()
        rows = slice(start, start + 65_536)
        block = np.ascontiguousarray(vectors[rows], dtype=np.float32)
        near, which = faiss.knn(block, centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)
        labels[rows], scores[rows] = which[:, 0], near[:, 0]
    return labels, scores
