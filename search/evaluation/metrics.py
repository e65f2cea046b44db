"""Measures of one ranked answer.

All take `relevant`: bool [n], best answer first, junk already taken out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Relevant = npt.NDArray[np.bool_]


def average_precision(relevant: Relevant, positives: int) -> float:
    """Mean of the precisions at each positive; positives that never come count as 0.

    positives: how many there are. The area under the precision-recall steps, as TREC computes it.
    """
    if positives == 0:
        return 0.0
    places = np.flatnonzero(relevant)
    precisions = np.arange(1, len(places) + 1) / (places + 1)
    return float(precisions.sum() / positives)


def trapezoid_average_precision(relevant: Relevant, positives: int) -> float:
    """Area under the precision-recall curve by trapezoids, as revisited Oxford and Paris use it.

    Radenović, Iscen, Tolias, Avrithis, Chum, "Revisiting Oxford and Paris: Large-Scale Image
    Retrieval Benchmarking" (CVPR 2018), after Philbin et al. (CVPR 2007): each positive adds the
    mean of the precisions just before and at it, the precision before the first answer being 1.
    """
    if positives == 0:
        return 0.0
    places = np.flatnonzero(relevant)
    found = np.arange(len(places))
    before = np.where(places == 0, 1.0, found / np.maximum(places, 1))
    at = (found + 1) / (places + 1)
    return float(((before + at) / 2).sum() / positives)


def precision_at(relevant: Relevant, k: int) -> float:
    """Share of positives among the first k; answers that are missing count as wrong."""
    return float(relevant[:k].sum() / k)


def recalled_at(relevant: Relevant, k: int) -> float:
    """1 when a positive is among the first k, else 0: R@k of instance retrieval, once averaged."""
    return float(relevant[:k].any())
