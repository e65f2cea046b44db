"""Codes and cells: what they are made of, what a query visits, what is gathered for a filter."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from likeness.types import Embeddings
from likeness.vectors import compressed
from likeness.vectors.cells import Cells, Placing, train_cells
from likeness.vectors.compressed import Built, Codes
from likeness.vectors.cores import Cores, helpers, in_background
from likeness.vectors.engine import load_faiss
from likeness.vectors.gathered import Gathered
from likeness.vectors.halfscan import Selection
from likeness.vectors.layout import find_layout
from tests.fakes.vectors import as_queries, unit_vectors

ROWS = unit_vectors(4000, 24, 0, groups=40)
ALL = Selection(len(ROWS))


@pytest.fixture(scope="module")
def codes() -> Codes:
    built = Built(ROWS, 64)
    return Codes(built.engine, built.codes, built.places)


def test_the_shortest_codes_are_taken_while_they_tell_neighbours_apart() -> None:
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((256, 256)))[0]
    easy = as_queries(unit_vectors(3000, 32, 1)) @ turned[:32].astype(np.float32)
    assert find_layout(easy).quantiser.code_size == 32
    noise = as_queries(unit_vectors(3000, 512, 2))  # no direction says more than another
    assert find_layout(noise).quantiser.code_size == 64


def test_a_layout_turns_without_stretching() -> None:
    layout = find_layout(as_queries(ROWS))
    assert layout.turn.shape == (24, 24)
    np.testing.assert_allclose(layout.turn @ layout.turn.T, np.eye(24), atol=1e-5)
    np.testing.assert_allclose(layout.leading @ layout.leading.T, np.eye(24), atol=1e-5)


@pytest.mark.parametrize("count", [16, 2048])
def test_every_cell_is_used_and_nearly_every_row_is_in_its_nearest(count: int) -> None:
    """2,048 cells are trained in two levels, and looked for in the likely ones."""
    rows = np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32)
    cells = train_cells(rows, np.eye(8, dtype=np.float32), count)
    placed = cells.placing().cells_of(rows)
    far = _squared_distance(cells, rows)
    assert len(cells) == count
    assert len(np.unique(placed)) > 0.98 * count
    assert (placed == far.argmin(axis=1)).mean() > 0.97
    # As near as k-means in one level brings it, or nearly so.
    assert (
        far.min(axis=1).mean()
        < 1.1 * _squared_distance(_in_one_level(rows, count), rows).min(axis=1).mean()
    )


def _squared_distance(cells: Cells, rows: Embeddings) -> Embeddings:
    near = cells.nearness(rows, np.ones((len(rows), 1), dtype=np.float32))
    return np.square(rows).sum(axis=1, keepdims=True) - 2 * near


def _in_one_level(rows: Embeddings, count: int) -> Cells:
    kmeans = load_faiss().Kmeans(rows.shape[1], count, niter=6, seed=1, min_points_per_centroid=1)
    kmeans.train(rows)
    return Cells(np.eye(rows.shape[1], dtype=np.float32), kmeans.centroids)


def test_rows_fewer_than_cells_are_cells_themselves() -> None:
    rows = np.eye(4, dtype=np.float32)
    cells = train_cells(rows, np.eye(4, dtype=np.float32), 6)
    assert len(cells) == 6
    assert Placing(rows).cells_of(rows).tolist() == [0, 1, 2, 3]


def test_a_batch_visits_what_its_queries_visit_alone(codes: Codes) -> None:
    cells = codes._cells
    assert cells is not None
    queries = as_queries(unit_vectors(9, 24, 5)) @ codes._turn.T
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    together = cells.visited(queries, lengths, 0.3)
    near = cells.nearness(queries, lengths)
    assert together.shape[1] > 3
    for at, visited in enumerate(together):
        alone = cells.visited(queries[at : at + 1], lengths[at : at + 1], 0.3)[0]
        assert visited[: len(alone)].tolist() == alone.tolist()
        assert (visited[len(alone) :] == -1).all()
        assert (near[at][alone] >= near[at].max() - 0.3 - 1e-5).all()
        assert (np.delete(near[at], alone) <= near[at].max() - 0.3 + 1e-5).all()
        assert (np.diff(near[at][alone]) <= 1e-6).all()


def test_cells_shared_out_among_threads_give_what_one_thread_gives(
    codes: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "_CELLS_PER_THREAD", 2)
    some = Selection(len(ROWS), rows=np.arange(0, len(ROWS), 3))
    for selection in (ALL, some):
        for query in as_queries(unit_vectors(5, 24, 6)):
            answers = []
            for threads in (1, 3):
                monkeypatch.setattr(compressed, "cores", lambda threads=threads: Cores(threads))
                found = codes.candidates(query[None], 50, selection, 0.6, gather=False)
                answers.append(found[0].tolist())
            # Codes that score alike may come in either order, and the last of them be left out.
            assert len(set(answers[0]) & set(answers[1])) >= 47
            assert -1 not in answers[1]


def test_what_is_filtered_is_gathered_and_scanned_whole(codes: Codes) -> None:
    rows = np.sort(np.random.default_rng(1).choice(len(ROWS), 500, replace=False))
    selection = Selection(len(ROWS), rows=rows)
    query = as_queries(unit_vectors(1, 24, 7))
    picked = codes.candidates(query, 500, selection, 0.0, gather=False)[0]
    assert 0 < (picked >= 0).sum() < 500  # the nearest cell alone
    for _ in range(2):
        gathered = codes.candidates(query, 500, selection, 0.0, gather=True)[0]
        assert sorted(gathered.tolist()) == rows.tolist()


def test_what_was_removed_since_is_left_out_of_what_was_gathered(codes: Codes) -> None:
    allowed = Selection(len(ROWS), rows=np.arange(0, 1000, 2))
    left = allowed.without(Selection(len(ROWS), rows=np.arange(100)))
    query = as_queries(unit_vectors(1, 24, 8))
    for _ in range(3):
        found = codes.candidates(query, 450, left, 9.0, gather=True)[0]
        assert sorted(found.tolist()) == list(range(100, 1000, 2))


def test_gathered_codes_go_with_their_filter_and_when_there_are_too_many(
    codes: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("likeness.vectors.gathered._ROWS_HELD", 1000)
    gathered = Gathered(codes._engine, codes._gathered._codes)
    filters = [Selection(len(ROWS), rows=np.arange(start, start + 400)) for start in (0, 400, 800)]
    for selection in filters:
        assert gathered.of(selection) is gathered.of(selection) is not None
    assert len(gathered._held) == 2
    assert gathered._rows == 800
    assert gathered.of(ALL) is None
    assert gathered.of(Selection(len(ROWS), rows=np.arange(1001))) is None
    filters.clear()
    del selection
    gc.collect()
    assert (len(gathered._held), gathered._rows) == (0, 0)


def test_in_the_background_a_query_stays_on_its_own_thread() -> None:
    """Helpers have the priority of those who wait for an answer."""
    told: list[bool] = []

    def ask() -> None:
        with in_background():
            told.append(helpers() is None)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert told == [True]
    assert helpers() is not None
