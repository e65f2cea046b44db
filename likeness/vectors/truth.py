"""The true nearest of many queries under several filters, found in one pass over the vectors.

What a scan a query at a time would do in turn: matrix products, block by block, of which only the
scores above each query's k-th so far are looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from likeness.telemetry import pulse
from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.index import Neighbours
from likeness.vectors.scoring import best_first, exact_scores

_BLOCK_ROWS = 16_384
_MARGIN = 16
"""Kept beyond k, so that float32 rounding cannot push out one of the k best."""


def nearest_under(
    ids: ImageIds,
    vectors: StoredVectors,
    queries: Embeddings,
    k: int,
    masks: Sequence[npt.NDArray[np.bool_] | None],
) -> list[Neighbours]:
    """The k best of each query among the rows of each mask (None: all), with exact scores.

    ids: int64 [n], ascending; vectors: float16 [n, d]; queries: float32 [q, d]; masks: bool [n].
    """
    kept = min(k + _MARGIN, len(ids))
    found = [_Best(len(queries), kept) for _ in masks]
    for start in range(0, len(ids), _BLOCK_ROWS):
        pulse.beat()
        scores = queries @ vectors[start : start + _BLOCK_ROWS].astype(np.float32).T
        for mask, best in zip(masks, found, strict=True):
            inside = None if mask is None else np.flatnonzero(mask[start : start + _BLOCK_ROWS])
            best.offer(scores, start, inside)
    answers = []
    for best in found:
        answer = Neighbours.nobody(len(queries), k)
        for at, query in enumerate(queries):
            rows = best.rows[at][best.rows[at] >= 0]
            exact = exact_scores(query, np.take(vectors, rows, axis=0))
            first = best_first(exact, ids[rows], k)
            answer.ids[at, : len(first)] = ids[rows][first]
            answer.scores[at, : len(first)] = exact[first]
        answers.append(answer)
    return answers


class _Best:
    """The best rows of each query so far: rows int64 [q, kept], -1 where there are fewer."""

    def __init__(self, q: int, kept: int) -> None:
        self.rows = np.full((q, kept), -1, dtype=np.int64)
        self._scores = np.full((q, kept), -np.inf, dtype=np.float32)

    def offer(
        self,
        scores: npt.NDArray[np.float32],
        start: int,
        inside: npt.NDArray[np.int64] | None,
    ) -> None:
        """Take in a block of scores [q, m] of the rows from start on, or of those `inside` it."""
        if inside is not None:
            scores = scores[:, inside]
        bars = self._scores.min(axis=1)
        for at in np.flatnonzero((scores > bars[:, None]).any(axis=1)).tolist():
            better = np.flatnonzero(scores[at] > bars[at])
            rows = start + (better if inside is None else inside[better])
            all_rows = np.concatenate([self.rows[at], rows])
            all_scores = np.concatenate([self._scores[at], scores[at][better]])
            best = np.argpartition(-all_scores, self.rows.shape[1] - 1)[: self.rows.shape[1]]
            self.rows[at], self._scores[at] = all_rows[best], all_scores[best]
