"""Building a neighbour graph, and bringing one up to date without computing it again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from likeness.types import ImageIds
from likeness.vectors.knn import (
    Neighbours,
    Vectors,
    cell_neighbours,
    exact_neighbours,
    merged,
    recall_at,
    top_k,
)
from search.graph.graph import NeighbourGraph

DEFAULT_K = 24
EXACT_ROWS = 20_000
"""Up to here every row is compared with every row; above, with those of the nearest cells. On a GPU
always: a million rows of 512 numbers take it 10¹⁵ operations, a matter of seconds."""
WANTED_RECALL = 0.97
_SAMPLE = 512
_REBUILD_SHARE = 0.25
_REBUILD_ROOTS = 12
"""Comparing new images with all costs as much as building when there are 12 √n of them."""


def build_graph(
    image_ids: ImageIds,
    vectors: Vectors,
    *,
    fingerprint: str,
    revision: int,
    k: int = DEFAULT_K,
    exact_rows: int = EXACT_ROWS,
    wanted_recall: float = WANTED_RECALL,
    device: str = "cpu",
) -> NeighbourGraph:
    """The graph of all rows, its recall@10 measured against exact answers for a sample.

    image_ids: int64 [n] ascending. vectors: [n, d], L2 norm 1, may be memory-mapped. As many cells
    are probed as the sample needs.
    """
    _check(image_ids, vectors)
    n = len(image_ids)
    if n <= exact_rows or device != "cpu":
        neighbours = exact_neighbours(vectors, k, device=device) if n else _empty(0, k)
        return NeighbourGraph(image_ids, neighbours, fingerprint, revision, "exact", 1.0)
    rows, exact = _exact_sample(vectors, device)
    neighbours = cell_neighbours(
        vectors, k, sample=(rows, exact), wanted_recall=wanted_recall, device=device
    )
    recall = recall_at(_rows(neighbours, rows), exact, 10)
    return NeighbourGraph(image_ids, neighbours, fingerprint, revision, "cells", recall)


def extend_graph(
    graph: NeighbourGraph,
    image_ids: ImageIds,
    vectors: Vectors,
    *,
    revision: int,
    device: str = "cpu",
    exact_rows: int = EXACT_ROWS,
) -> NeighbourGraph:
    """The graph of image_ids now: lists of gone images dropped, new ones linked both ways.

    Cost: new images × all images. Computed anew where that is cheaper, and when a quarter or more
    has changed.
    """
    _check(image_ids, vectors)
    new_row = graph.rows_of(image_ids) < 0
    old_rows_now = np.searchsorted(image_ids, graph.image_ids).clip(max=max(0, len(image_ids) - 1))
    stays = (
        image_ids[old_rows_now] == graph.image_ids
        if len(image_ids)
        else np.zeros(len(graph), dtype=np.bool_)
    )
    changed = int(new_row.sum()) + int((~stays).sum())
    if not changed:
        return NeighbourGraph(
            image_ids, graph.neighbours, graph.fingerprint, revision, graph.method, graph.recall
        )
    in_cells = len(image_ids) > exact_rows and device == "cpu"
    many = in_cells and new_row.sum() > _REBUILD_ROOTS * len(image_ids) ** 0.5
    if many or changed >= _REBUILD_SHARE * max(1, len(graph)):
        return build_graph(
            image_ids,
            vectors,
            fingerprint=graph.fingerprint,
            revision=revision,
            k=graph.k,
            device=device,
            exact_rows=exact_rows,
        )
    lists, valid = _carried_over(graph, stays, old_rows_now)
    result = _empty(len(image_ids), graph.k)
    result.positions[~new_row], result.scores[~new_row] = lists.positions, lists.scores
    fresh = np.flatnonzero(new_row)
    if len(fresh):
        old = np.flatnonzero(~new_row)
        linked = _linked_to_new(vectors, old, fresh, lists, valid, graph.k, device)
        result.positions[old], result.scores[old] = linked.positions, linked.scores
    short = (result.positions >= 0).sum(axis=1) < min(graph.k // 2, len(image_ids) - 1)
    anew = np.flatnonzero(short | new_row)
    if len(anew):
        found = _nearest_others(vectors, anew, graph.k, device)
        result.positions[anew], result.scores[anew] = found.positions, found.scores
    return NeighbourGraph(
        image_ids, result, graph.fingerprint, revision, graph.method, graph.recall
    )


def _carried_over(
    graph: NeighbourGraph, stays: npt.NDArray[np.bool_], rows_now: npt.NDArray[np.int64]
) -> tuple[Neighbours, npt.NDArray[np.float32]]:
    """The lists of images that stay, in today's rows, and how far down each is complete.

    The second is float32 [m]: every image that scores above it is in the list.
    """
    renamed = np.where(stays, rows_now, -1).astype(np.int32)
    old = graph.neighbours.positions[stays]
    scores = graph.neighbours.scores[stays]
    positions = np.where(old >= 0, renamed[np.maximum(old, 0)], np.int32(-1))
    full = (old >= 0).all(axis=1)
    worst = np.where(old >= 0, scores, np.inf).min(axis=1, initial=np.inf)
    # A list that was not full named everything that there was.
    complete_above = np.where(full, worst, -np.inf).astype(np.float32)
    scores = np.where(positions >= 0, scores, -np.inf).astype(np.float32)
    torn = np.flatnonzero((positions != old).any(axis=1) & (positions < 0).any(axis=1))
    order = np.argsort(-scores[torn], axis=1, kind="stable")
    positions[torn] = np.take_along_axis(positions[torn], order, 1)
    scores[torn] = np.take_along_axis(scores[torn], order, 1)
    return Neighbours(positions, scores), complete_above


def _linked_to_new(
    vectors: Vectors,
    old: npt.NDArray[np.int64],
    fresh: npt.NDArray[np.int64],
    lists: Neighbours,
    complete_above: npt.NDArray[np.float32],
    k: int,
    device: str,
) -> Neighbours:
    """The lists of old rows with the fresh ones that belong in them.

    A new image enters the lists of a few dozen: which ones is looked up first, and only theirs are
    made anew.
    """
    arrivals = vectors[fresh]
    nearest = top_k(vectors, arrivals, 1, device=device, full_precision=True).scores[old, 0]
    entered = np.flatnonzero(nearest >= complete_above)
    if not len(entered):
        return lists
    old, complete_above = old[entered], complete_above[entered]
    found = top_k(vectors[old], arrivals, min(k, len(fresh)), device=device)
    named = np.where(found.positions >= 0, fresh[np.maximum(found.positions, 0)], -1)
    # Below the point down to which the old list is complete, an image not compared may be nearer.
    sure = (named >= 0) & (found.scores >= complete_above[:, None])
    scores = np.where(sure, found.scores, -np.inf).astype(np.float32)
    positions = np.where(sure, named, -1).astype(np.int32)
    longer = merged(_rows(lists, entered), Neighbours(positions, scores), k)
    lists.positions[entered], lists.scores[entered] = longer.positions, longer.scores
    return lists


def _nearest_others(
    vectors: Vectors,
    rows: npt.NDArray[np.int64],
    k: int,
    device: str,
    *,
    full_precision: bool | None = None,
) -> Neighbours:
    found = top_k(vectors[rows], vectors, k + 1, device=device, full_precision=full_precision)
    own = found.positions == rows[:, None]
    scores = np.where(own, -np.inf, found.scores).astype(np.float32)
    positions = np.where(own, -1, found.positions).astype(np.int32)
    return merged(Neighbours(positions, scores), _empty(len(rows), 1), k)


def _exact_sample(vectors: Vectors, device: str) -> tuple[npt.NDArray[np.int64], Neighbours]:
    random = np.random.default_rng(0)
    rows = np.sort(random.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False))
    # In float32: a truth found as the answer is found would forgive what both miss.
    return rows, _nearest_others(vectors, rows, 10, device, full_precision=True)


def _rows(neighbours: Neighbours, rows: npt.NDArray[np.int64]) -> Neighbours:
    return Neighbours(neighbours.positions[rows], neighbours.scores[rows])


def _empty(n: int, k: int) -> Neighbours:
    return Neighbours(
        np.full((n, k), -1, dtype=np.int32), np.full((n, k), -np.inf, dtype=np.float32)
    )


def _check(image_ids: ImageIds, vectors: Vectors) -> None:
    if image_ids.ndim != 1 or vectors.ndim != 2 or len(image_ids) != len(vectors):
        raise ValueError(
            f"{image_ids.shape} ids and {vectors.shape} vectors do not belong together"
        )
    if (np.diff(image_ids) <= 0).any():
        raise ValueError("image ids must be ascending and each named once")
