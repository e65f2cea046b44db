"""One answer from several spaces: by rank, or by evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from likeness.types import ImageIds

RANK_CONSTANT = 60


def reciprocal_rank_fusion(
    rankings: Sequence[ImageIds], weights: Sequence[float]
) -> tuple[ImageIds, npt.NDArray[np.float32]]:
    """Fuse rankings: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods" (SIGIR 2009).

    rankings: int64 [k] each, best first; an image that a ranking leaves out gains nothing there.
    weights: one each. Returns ids int64 [n], best first, and scores float32 [n], the sums of
    weight / (60 + rank); ties go to the smaller id.
    """
    gains = [
        weight / (RANK_CONSTANT + np.arange(1, len(ids) + 1))
        for ids, weight in zip(rankings, weights, strict=True)
    ]
    return _summed(rankings, gains)


def evidence_fusion(
    answers: Sequence[tuple[ImageIds, npt.NDArray[np.float32]]], weights: Sequence[float]
) -> tuple[ImageIds, npt.NDArray[np.float32]]:
    """Fuse answers by the weighted sum of their evidence (`FalseMatchModel.evidence`).

    The sum of log probabilities of independent tests (Fisher, "Statistical Methods for Research
    Workers", 4th ed. 1932, section 21.1), here of log expected counts, which do not saturate.
    answers: ids int64 [k] and evidence float32 [k] each, in any order. An image that an answer
    leaves out counts there as that answer's weakest. Returns as `reciprocal_rank_fusion`.
    """
    everyone = np.unique(np.concatenate([ids for ids, _ in answers]))
    totals = np.zeros(len(everyone))
    for (ids, evidence), weight in zip(answers, weights, strict=True):
        if len(ids) == 0:
            continue
        values = np.full(len(everyone), float(evidence.min()))
        values[np.searchsorted(everyone, ids)] = evidence
        totals += weight * values
    return _best_first(everyone, totals)


def _summed(
    rankings: Sequence[ImageIds], gains: Sequence[npt.NDArray[np.float64]]
) -> tuple[ImageIds, npt.NDArray[np.float32]]:
    everyone = np.unique(np.concatenate(list(rankings)))
    totals = np.zeros(len(everyone))
    for ids, gain in zip(rankings, gains, strict=True):
        totals[np.searchsorted(everyone, ids)] += gain
    return _best_first(everyone, totals)


def _best_first(
    ids: ImageIds, totals: npt.NDArray[np.float64]
) -> tuple[ImageIds, npt.NDArray[np.float32]]:
    order = np.argsort(-totals, kind="stable")
    return ids[order].astype(np.int64), totals[order].astype(np.float32)
