"""Every way to the neighbours agrees with sorting all scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness.vectors.blocks import best_on_device
from likeness.vectors.kmeans import kmeans_centroids, nearest_centroids
from likeness.vectors.knn import (
    Neighbours,
    cell_neighbours,
    exact_neighbours,
    merged,
    recall_at,
    top_k,
)


def clustered(n: int, d: int = 32, seed: int = 0, clusters: int = 12) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((clusters, d))
    rows = centres[random.integers(0, clusters, n)] + 0.6 * random.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def brute_force(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    scores = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)[:, :k]
    return order, np.take_along_axis(scores, order, 1)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 300), k=st.integers(1, 12), seed=st.integers(0, 5))
def test_exact_neighbours_are_those_of_brute_force(n: int, k: int, seed: int) -> None:
    vectors = clustered(n, seed=seed)
    found = exact_neighbours(vectors, k)
    _, scores = brute_force(vectors, min(k, n - 1))
    assert found.positions.shape == (n, k)
    assert np.allclose(found.scores[:, : n - 1], scores, atol=1e-5)
    assert (found.positions[:, : n - 1] >= 0)[:, :k].all()
    assert (found.positions[:, n - 1 :] == -1).all()
    assert (found.positions != np.arange(n)[:, None]).all()


def test_half_precision_products_select_what_full_precision_does() -> None:
    vectors = clustered(3000, 64)
    full = top_k(vectors, vectors, 10, without_self=True, full_precision=True)
    half = top_k(vectors, vectors, 10, without_self=True, full_precision=False)
    assert recall_at(half, full, 10) > 0.999


def test_near_ties_survive_half_precision_products() -> None:
    """Cosines of a cluster differ by less than bfloat16 can tell near 1."""
    random = np.random.default_rng(0)
    rows = random.standard_normal(64) * 4 + random.standard_normal((3000, 64)) * 0.2
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    full = top_k(vectors, vectors, 10, without_self=True, full_precision=True)
    half = top_k(vectors, vectors, 10, without_self=True, full_precision=False)
    assert recall_at(half, full, 10) > 0.99


@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 200), kept=st.integers(1, 9), block=st.integers(1, 90))
def test_what_is_merged_on_the_device_is_what_brute_force_finds(
    n: int, kept: int, block: int
) -> None:
    import torch

    vectors = clustered(n)
    kept = min(kept, n)
    best = best_on_device(
        vectors,
        vectors,
        kept,
        dtype=torch.float32,
        device="cpu",
        query_rows=block,
        base_rows=max(kept, block),
    )
    scores = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    assert np.allclose(best.scores, -np.sort(-scores, axis=1)[:, :kept], atol=1e-5)
    found = np.take_along_axis(scores, best.positions.astype(np.int64), 1)
    assert np.allclose(found, best.scores, atol=1e-5)


def test_cells_find_nearly_all_neighbours() -> None:
    vectors = clustered(4000, 48, clusters=60)
    found = cell_neighbours(vectors, 10, probes=8)
    assert recall_at(found, exact_neighbours(vectors, 10), 10) >= 0.97


def test_all_cells_probed_is_exact() -> None:
    vectors = clustered(500)
    found = cell_neighbours(vectors, 5, cells=7, probes=7)
    assert recall_at(found, exact_neighbours(vectors, 5), 5) == 1.0


def test_identical_rows_name_each_other_and_never_themselves() -> None:
    vectors = np.repeat(clustered(3), 20, axis=0)
    found = exact_neighbours(vectors, 5)
    assert (found.positions != np.arange(60)[:, None]).all()
    assert np.allclose(found.scores, 1.0, atol=2e-3)
    assert (found.positions // 20 == (np.arange(60) // 20)[:, None]).all()


def test_merged_keeps_the_best_of_both_once() -> None:
    first = Neighbours(np.array([[4, 2]], np.int32), np.array([[0.9, 0.5]], np.float32))
    second = Neighbours(np.array([[2, 7, -1]], np.int32), np.array([[0.5, 0.7, -1]], np.float32))
    both = merged(first, second, 4)
    assert both.positions.tolist() == [[4, 7, 2, -1]]
    assert both.scores[0, :3].tolist() == pytest.approx([0.9, 0.7, 0.5])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="are not"):
        top_k(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32), 1)
    with pytest.raises(ValueError, match="at least 1"):
        exact_neighbours(np.zeros((2, 3), np.float32), 0)


def test_kmeans_is_repeatable_and_labels_name_the_nearest_centroid() -> None:
    vectors = clustered(600, clusters=4)
    centroids = kmeans_centroids(vectors, 4, random_seed=3, restarts=2)
    assert np.array_equal(centroids, kmeans_centroids(vectors, 4, random_seed=3, restarts=2))
    labels, scores = nearest_centroids(vectors, centroids)
    products = vectors.astype(np.float32) @ centroids.T
    assert np.array_equal(labels, products.argmax(axis=1))
    assert np.allclose(scores, products.max(axis=1), atol=1e-5)


def test_more_cells_than_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be sorted into 9 cells"):
        kmeans_centroids(clustered(5), 9)
