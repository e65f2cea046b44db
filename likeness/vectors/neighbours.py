"""Lists of nearest neighbours as values: put in order, merged, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vectors: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]
"""[n, d], L2 norm 1 per row; may be memory-mapped."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """positions: int32 [n, k], rows of the base, best first, padded with -1.

    scores: float32 [n, k], cosine, descending, padded with -inf.
    """

    positions: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    @property
    def k(self) -> int:
        return int(self.positions.shape[1])

    def __len__(self) -> int:
        return len(self.positions)


def ordered(
    positions: npt.NDArray[np.int32], scores: npt.NDArray[np.float32], k: int
) -> Neighbours:
    """The best k, best first; equal scores by position, so that runs agree."""
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    chosen = np.take_along_axis(positions, order, 1)
    values = np.take_along_axis(scores, order, 1)
    if chosen.shape[1] < k:
        missing = k - chosen.shape[1]
        chosen = np.pad(chosen, ((0, 0), (0, missing)), constant_values=-1)
        values = np.pad(values, ((0, 0), (0, missing)), constant_values=-np.inf)
    return Neighbours(np.ascontiguousarray(chosen), np.ascontiguousarray(values))


def merged(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    """The best k of two answers to the same queries; a position named by both counts once."""
    positions = np.concatenate([first.positions, second.positions], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    scores = np.where(positions < 0, -np.inf, scores).astype(np.float32)
    # By position, then score: a repeated position stands next to itself and is struck out.
    order = np.lexsort((-scores, positions), axis=1)
    positions = np.take_along_axis(positions, order, 1)
    scores = np.take_along_axis(scores, order, 1)
    again = np.zeros(positions.shape, dtype=bool)
    again[:, 1:] = positions[:, 1:] == positions[:, :-1]
    scores[again] = -np.inf
    positions = np.where(again, np.int32(-1), positions)
    return ordered(positions, scores, k)


def recall_at(found: Neighbours, exact: Neighbours, k: int) -> float:
    """The share of the true k nearest that were found; ties with the k-th count as found."""
    true_worst = exact.scores[:, min(k, exact.k) - 1]
    have = np.isfinite(exact.scores[:, :k]).sum()
    good = (found.scores[:, :k] >= true_worst[:, None] - 1e-6).sum()
    return float(min(good, have) / have) if have else 1.0
