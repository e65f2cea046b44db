"""The graph equals brute force when built, and stays equal through arrivals and departures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness.errors import SnapshotDamaged
from search.graph.build import build_graph, extend_graph
from search.graph.graph import NeighbourGraph
from search.graph.store import load_graph, save_graph


def unit_rows(n: int, seed: int = 0, d: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def graph_of(ids: np.ndarray, vectors: np.ndarray, k: int = 6) -> NeighbourGraph:
    return build_graph(ids, vectors, fingerprint="f", revision=1, k=k)


def true_scores(vectors: np.ndarray) -> np.ndarray:
    scores = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    np.fill_diagonal(scores, -np.inf)
    return -np.sort(-scores, axis=1)


def test_cells_reach_the_wanted_recall_and_say_so() -> None:
    vectors = unit_rows(1500)
    graph = build_graph(np.arange(1500), vectors, fingerprint="f", revision=1, k=12, exact_rows=100)
    assert graph.method == "cells"
    assert graph.recall >= 0.96


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(30, 90),
    arriving=st.integers(0, 40),
    leaving=st.integers(0, 40),
    seed=st.integers(0, 9),
)
def test_an_updated_graph_names_the_true_nearest(
    n: int, arriving: int, leaving: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    everything = unit_rows(n + arriving, seed)
    ids = np.sort(random.choice(1000, n + arriving, replace=False)).astype(np.int64)
    at_first = np.sort(random.choice(n + arriving, n, replace=False))
    gone = random.choice(at_first, min(leaving, n - 1), replace=False)
    now = np.setdiff1d(np.arange(n + arriving), gone)
    graph = graph_of(ids[at_first], everything[at_first])
    updated = extend_graph(graph, ids[now], everything[now], revision=2)

    assert np.array_equal(updated.image_ids, ids[now])
    truth = true_scores(everything[now])
    for row, (positions, scores) in enumerate(
        zip(updated.neighbours.positions, updated.neighbours.scores, strict=True)
    ):
        length = int((positions >= 0).sum())
        assert length >= min(3, len(now) - 1)
        assert row not in positions.tolist()
        assert np.allclose(scores[:length], truth[row, :length], atol=1e-5)
        named = everything[now][positions[:length]].astype(np.float32)
        own = named @ everything[now][row].astype(np.float32)
        assert np.allclose(own, scores[:length], atol=1e-5)


def test_nothing_new_keeps_the_lists() -> None:
    vectors = unit_rows(40)
    graph = graph_of(np.arange(40), vectors)
    again = extend_graph(graph, np.arange(40), vectors, revision=9)
    assert again.neighbours is graph.neighbours
    assert again.revision == 9


def test_edges_are_undirected_and_named_once() -> None:
    graph = graph_of(np.arange(50), unit_rows(50), k=4)
    low, high, scores = graph.edges()
    assert (low < high).all()
    assert len(set(zip(low.tolist(), high.tolist(), strict=True))) == len(low)
    named = {
        (min(i, int(j)), max(i, int(j)))
        for i, row in enumerate(graph.neighbours.positions)
        for j in row
    }
    assert named == set(zip(low.tolist(), high.tolist(), strict=True))
    assert len(graph.edges(min_score=0.4)[2]) == (scores >= 0.4).sum()


def test_a_stored_graph_comes_back_as_it_was(tmp_path: Path) -> None:
    graph = graph_of(np.arange(30) * 7, unit_rows(30))
    save_graph(graph, tmp_path / "deep" / "graph.bin")
    back = load_graph(tmp_path / "deep" / "graph.bin")
    assert back is not None
    assert np.array_equal(back.image_ids, graph.image_ids)
    assert np.array_equal(back.neighbours.positions, graph.neighbours.positions)
    assert np.array_equal(back.neighbours.scores, graph.neighbours.scores)
    assert (back.fingerprint, back.revision, back.method) == ("f", 1, "exact")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["graph.bin"]


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "graph.bin"
    save_graph(graph_of(np.arange(12), unit_rows(12)), path)
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    for place in [*range(40), *random.integers(40, len(whole), 200)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(SnapshotDamaged):
            load_graph(path)
    for length in random.integers(1, len(whole) - 1, 50):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotDamaged):
            load_graph(path)


def test_a_missing_file_is_no_graph(tmp_path: Path) -> None:
    assert load_graph(tmp_path / "graph.bin") is None


def test_ids_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        graph_of(np.array([2, 1]), unit_rows(2))


def test_an_empty_space_has_an_empty_graph() -> None:
    graph = graph_of(np.empty(0, np.int64), np.empty((0, 16), np.float16))
    assert len(graph) == 0
    assert graph.rows_of(np.array([3])).tolist() == [-1]
    grown = extend_graph(graph, np.arange(5), unit_rows(5), revision=2)
    assert (grown.neighbours.positions[:, 0] >= 0).all()
