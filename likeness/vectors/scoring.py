"""The one place where a score is computed, so that every path gives the same one to the bit.

FAISS adds in an order that depends on the processor, the batch and the path taken. Its scores
choose candidates; what a caller sees comes from here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from likeness.types import ImageIds, StoredVectors

_BLOCK_ROWS = 8192
"""Bounds the float64 copy: 32 MiB at d = 512."""


def exact_scores(query: npt.NDArray[np.float32], rows: StoredVectors) -> npt.NDArray[np.float32]:
    """Dot products of one query with stored vectors, exact before the rounding to float32.

    query: float32 [d]; rows: float16 [n, d]. Returns float32 [n].
    A product of float32 and float16 is exact in float64, and each row is summed over d in a fixed
    order, so a row's score does not depend on the rows around it.
    """
    wide_query = query.astype(np.float64)
    scores = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS].astype(np.float64)
        scores[start : start + len(block)] = np.einsum("nd,d->n", block, wide_query)
    return scores


def scan_error(query: npt.NDArray[np.float32]) -> float:
    """How far any float32 summation may stray from the exact dot product with a unit vector.

    query: float32 [d]. Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5:
    |error| <= d u / (1 - d u) * sum |x_i y_i| with u = 2**-24, whatever the order; the sum is at
    most the product of the norms (Cauchy–Schwarz), of which the stored one is at most 1.01.
    One rounding more, because the exact score is itself given in float32.
    """
    bound = len(query) * 2.0**-24
    norm = float(np.linalg.norm(query.astype(np.float64)))
    return (1.02 * bound / (1.0 - bound) + 2.0**-23) * norm


def best_first(scores: npt.NDArray[np.float32], ids: ImageIds, k: int) -> npt.NDArray[np.int64]:
    """Positions of the k best, by score descending and then image id ascending.

    scores: float32 [n]; ids: int64 [n]. Returns int64 [min(k, n)].
    """
    return np.lexsort((ids, -scores))[:k].astype(np.int64, copy=False)
