"""Alike lies near; what is on the map stays where it is; damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likeness.errors import SnapshotDamaged
from search.clusters.map import (
    FILE_NAME,
    current_map,
    extend_map,
    load_map,
    make_map,
    trustworthiness,
)
from search.graph.build import build_graph
from search.graph.graph import NeighbourGraph
from search.graph.keeper import SpaceVectors


def blobs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    of = np.arange(n) % 4
    rows = np.random.default_rng(9).standard_normal((4, 16))[of] + 0.3 * random.standard_normal(
        (n, 16)
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16), of


def graph_of(vectors: np.ndarray) -> NeighbourGraph:
    return build_graph(np.arange(len(vectors)), vectors, fingerprint="f", revision=0, k=15)


def test_neighbours_on_the_map_are_alike_and_runs_agree() -> None:
    vectors, of = blobs(160)
    graph = graph_of(vectors)
    made = make_map(graph.image_ids, vectors, graph)
    assert np.abs(made.places).max() <= 1
    distance = ((made.places[:, None] - made.places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (of[distance.argmin(axis=1)] == of).mean() > 0.95
    random = np.random.default_rng(0).standard_normal((160, 2)).astype(np.float32)
    assert trustworthiness(vectors, made.places) > 0.9 > 0.6 > trustworthiness(vectors, random)
    assert np.array_equal(make_map(graph.image_ids, vectors, graph).places, made.places)


def test_new_images_lie_among_their_neighbours_and_no_other_moves() -> None:
    vectors, of = blobs(120)
    made = make_map(np.arange(100), vectors[:100], graph_of(vectors[:100]))
    more = extend_map(made, np.arange(120), graph_of(vectors))
    assert np.array_equal(more.places[:100], made.places)
    for row in range(100, 120):
        middle = np.median(made.places[of[:100] == of[row]], axis=0)
        others = [np.median(made.places[of[:100] == other], axis=0) for other in range(4)]
        distances = [float(np.linalg.norm(more.places[row] - other)) for other in others]
        assert np.linalg.norm(more.places[row] - middle) == pytest.approx(min(distances))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_few_images_have_a_map_too(n: int) -> None:
    vectors, _ = blobs(max(n, 1))
    made = make_map(np.arange(n), vectors[:n], graph_of(vectors[:n]))
    assert made.places.shape == (n, 2)
    assert np.isfinite(made.places).all()


def test_the_stored_map_is_used_extended_and_made_anew_when_damaged(tmp_path: Path) -> None:
    vectors, _ = blobs(60)

    def current(n: int) -> np.ndarray:
        held = SpaceVectors(np.arange(n), vectors[:n], 1)
        return current_map(held, graph_of(vectors[:n]), tmp_path).places

    first = current(40)
    assert np.array_equal(current(40), first)
    assert np.array_equal(current(50)[:40], first)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(SnapshotDamaged):
        load_map(path)
    assert current(50).shape == (50, 2)
    assert load_map(path) is not None
