"""Random unit vectors, and the answer that every index must give, computed the long way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.idset import IdSet


def unit_vectors(n: int, dim: int, seed: int, *, groups: int = 0) -> StoredVectors:
    """float16 [n, dim] of unit length. groups: that many centres to lie around; 0: anywhere."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, dim))
    if groups:
        centres = random.standard_normal((groups, dim))
        rows = centres[random.integers(0, groups, n)] + 0.4 * rows
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16)


def sparse_ids(n: int, seed: int, *, step: int = 3) -> ImageIds:
    """int64 [n], ascending with gaps, as ids are in a catalog of several collections."""
    random = np.random.default_rng(seed)
    return np.cumsum(random.integers(1, step + 1, n)).astype(np.int64)


def brute_force(
    ids: ImageIds,
    vectors: StoredVectors,
    query: npt.NDArray[np.float32],
    k: int,
    *,
    allowed: IdSet | None = None,
    removed: IdSet | None = None,
) -> tuple[list[int], list[float]]:
    """Ids and scores of the k best, by a loop over everything; ties by id.

    The sum is taken in float64 in an order of its own, and rounded to float32 as scores are.
    """
    rows: list[tuple[float, int]] = []
    kept = set(ids.tolist())
    if allowed is not None:
        kept &= set(allowed)
    if removed is not None:
        kept -= set(removed)
    products = vectors.astype(np.float64) * query.astype(np.float64)
    for image_id, score in zip(ids.tolist(), products.sum(axis=1).astype(np.float32), strict=True):
        if image_id in kept:
            rows.append((-float(score), image_id))
    best = sorted(rows)[:k]
    return [image_id for _, image_id in best], [-score for score, _ in best]


def as_queries(vectors: StoredVectors) -> Embeddings:
    """float32 [q, d]."""
    return vectors.astype(np.float32)
