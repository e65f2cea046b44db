"""Neighbours from the collection's graph: the same answers as brute force over the collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likeness.catalog.records import Space, SpaceState
from likeness.types import Tower
from search.graph.build import build_graph
from search.graph.graph import NeighbourGraph
from search.graph.reading import StoredGraphs
from search.graph.store import FILE_NAME, save_graph
from search.rerank.graph_lists import GraphLists
from search.rerank.interface import Context, Shortlist, shortlist, unit
from search.rerank.nearest import nearest_masks
from search.rerank.registry import rerank

N, D, K = 90, 12, 10


@pytest.fixture
def vectors() -> np.ndarray:
    random = np.random.default_rng(4)
    centres = random.standard_normal((6, D))
    return unit(centres[random.integers(6, size=N)] + 0.5 * random.standard_normal((N, D)))


@pytest.fixture
def ids() -> np.ndarray:
    return np.sort(np.random.default_rng(1).choice(1000, N, replace=False)).astype(np.int64)


@pytest.fixture
def graph(vectors: np.ndarray, ids: np.ndarray) -> NeighbourGraph:
    return build_graph(ids, vectors, fingerprint="f", revision=1, k=K)


@pytest.fixture
def found(vectors: np.ndarray, ids: np.ndarray) -> Shortlist:
    query = unit(np.random.default_rng(2).standard_normal((1, D)))[0]
    best = np.argsort(-(vectors @ query))[:25]
    return shortlist(query, ids[best], vectors[best])


def test_lists_name_images_by_id_and_rows_of_unknown_ones_are_empty(
    graph: NeighbourGraph, ids: np.ndarray, vectors: np.ndarray
) -> None:
    asked = np.array([ids[5], 12_345, ids[0]])
    neighbours, cosines = GraphLists(graph).neighbours(asked)
    assert (neighbours[1] == -1).all()
    for row, own in ((0, 5), (2, 0)):
        scores = vectors @ vectors[own]
        scores[own] = -2
        assert neighbours[row].tolist() == ids[np.argsort(-scores)[:K]].tolist()
        assert cosines[row] == pytest.approx(np.sort(scores)[::-1][:K], abs=1e-5)


@pytest.mark.parametrize("k", [1, 4, K])
def test_masks_from_the_graph_are_those_of_the_whole_collection(
    graph: NeighbourGraph, ids: np.ndarray, vectors: np.ndarray, found: Shortlist, k: int
) -> None:
    points = np.vstack([found.query, found.vectors])
    (mask,) = nearest_masks(points @ points.T, found.ids, (k,), GraphLists(graph))
    for row, image_id in enumerate(found.ids.tolist(), start=1):
        own = int(np.searchsorted(ids, image_id))
        scores = vectors @ vectors[own]
        scores[own] = -2
        nearest = set(ids[np.argsort(-scores)[:k]].tolist())
        kth = np.sort(scores)[::-1][k - 1]
        for column, other in enumerate(found.ids.tolist(), start=1):
            assert mask[row, column] == (other in nearest or other == image_id)
        assert mask[row, 0] == (float(found.query @ vectors[own]) > kth)


def test_a_row_that_the_graph_does_not_know_is_left_to_the_shortlist(
    graph: NeighbourGraph, found: Shortlist
) -> None:
    points = np.vstack([found.query, found.vectors])
    cosines = points @ points.T
    strange = np.arange(5000, 5000 + len(found))
    for with_graph, without in zip(
        nearest_masks(cosines, strange, (3, K), GraphLists(graph)),
        nearest_masks(cosines, strange, (3, K), None),
        strict=True,
    ):
        assert (with_graph == without).all()
    # A graph with shorter lists than asked for is no help either.
    (long,) = nearest_masks(cosines, found.ids, (K + 1,), GraphLists(graph))
    assert (long == nearest_masks(cosines, found.ids, (K + 1,), None)[0]).all()


def test_rerankers_take_the_graph_and_return_every_candidate(
    graph: NeighbourGraph, found: Shortlist
) -> None:
    context = Context(neighbours=GraphLists(graph))
    for name in ("kreciprocal", "diffusion"):
        result = rerank(found, [name], context)
        assert sorted(result.ids.tolist()) == sorted(found.ids.tolist())
        assert (np.diff(result.scores) <= 0).all()


def space(fingerprint: str) -> Space:
    return Space(1, 1, "fake", fingerprint, D, frozenset({Tower.IMAGE}), SpaceState.ACTIVE)


def test_stored_graphs_are_read_once_and_again_when_replaced(
    graph: NeighbourGraph, ids: np.ndarray, vectors: np.ndarray, tmp_path: Path
) -> None:
    graphs = StoredGraphs(lambda _space: tmp_path)
    assert graphs.of(space("f")) is None
    save_graph(graph, tmp_path / FILE_NAME)
    first = graphs.of(space("f"))
    assert first is not None
    assert len(first) == N
    assert graphs.of(space("f")) is first
    smaller = build_graph(ids[:50], vectors[:50], fingerprint="f", revision=2, k=K)
    save_graph(smaller, tmp_path / FILE_NAME)
    second = graphs.of(space("f"))
    assert second is not None
    assert len(second) == 50


def test_a_foreign_or_damaged_graph_is_not_used(graph: NeighbourGraph, tmp_path: Path) -> None:
    save_graph(graph, tmp_path / FILE_NAME)
    assert StoredGraphs(lambda _space: tmp_path).of(space("other")) is None
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert StoredGraphs(lambda _space: tmp_path).of(space("f")) is None
