"""Who is among the k nearest of whom, for a query and its shortlist."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from likeness.types import ImageIds
from search.rerank.interface import NeighbourLists, Scores

Mask = npt.NDArray[np.bool_]


def nearest_masks(
    cosines: Scores, ids: ImageIds, ks: Sequence[int], graph: NeighbourLists | None
) -> list[Mask]:
    """For each k: bool [n, n], true where column j is row i itself or one of its k nearest.

    cosines: float32 [n, n] of the query (row 0) and its candidates. ids: int64 [n - 1], of the
    candidates. Neighbours are sought within the shortlist, or, with a graph, within the whole
    collection: then a candidate's k nearest may lie outside, and the query counts among them
    when it is nearer than the k-th. A graph that keeps fewer than k neighbours, or does not hold a
    candidate, leaves that candidate's row to the shortlist.
    """
    ranks = _ranks(cosines)
    masks = [ranks <= k for k in ks]
    if graph is None or len(ids) == 0:
        return masks
    listed, listed_scores = graph.neighbours(ids)
    sorter = np.argsort(ids)
    place = np.searchsorted(ids, listed, sorter=sorter)
    column = sorter[np.minimum(place, len(ids) - 1)]
    inside: Mask = np.logical_and(listed >= 0, ids[column] == listed)
    for mask, k in zip(masks, ks, strict=True):
        if k > listed.shape[1]:
            continue
        known: Mask = np.all(listed[:, :k] >= 0, axis=1, keepdims=True)
        rows = np.zeros_like(mask[1:])
        row, rank = np.nonzero(inside[:, :k])
        rows[row, 1 + column[row, rank]] = True
        rows[np.arange(len(ids)), 1 + np.arange(len(ids))] = True
        rows[:, 0] = cosines[1:, 0] > listed_scores[:, k - 1]
        mask[1:] = np.where(known, rows, mask[1:])
    return masks


def _ranks(cosines: Scores) -> npt.NDArray[np.int64]:
    """Rank of every column in its row, from the most alike; the row itself has rank 0."""
    nearness = cosines.copy()
    np.fill_diagonal(nearness, np.inf)
    order = np.argsort(-nearness, axis=1, kind="stable")
    ranks = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(ranks, order, np.arange(len(cosines))[np.newaxis], axis=1)
    return ranks
