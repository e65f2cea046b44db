"""k-reciprocal encoding: Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with
k-reciprocal Encoding" (CVPR 2017).

Two images are alike when their sets of mutual nearest neighbours overlap. The names below are the
paper's: R(p, k) is the set of k-reciprocal neighbours (eq. 3), R* its expansion (eq. 5), V the
weighted membership (eq. 7) after local query expansion (eq. 11), and the final distance is
(1 - λ) Jaccard + λ original (eq. 12).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.rerank.interface import Context, Shortlist
from search.rerank.nearest import Mask, nearest_masks


@dataclass(frozen=True, slots=True)
class KReciprocal:
    """k1: neighbours that must be mutual. k2: neighbours whose sets are averaged.
    original_weight: λ, share of the original distance."""

    k1: int = 20
    k2: int = 6
    original_weight: float = 0.3

    def __call__(self, candidates: Shortlist, context: Context, /) -> Shortlist:
        """Score by 1 - final distance, between 0 and 1."""
        if len(candidates) == 0:
            return candidates
        points = np.vstack([candidates.query, candidates.vectors])
        cosines = points @ points.T
        near_k1, near_half, near_k2 = nearest_masks(
            cosines, candidates.ids, (self.k1, (self.k1 + 1) // 2, self.k2), context.neighbours
        )
        # 2 - 2 cosine is the squared Euclidean distance of unit vectors; as in the authors'
        # code, each row is divided by its largest.
        distance = np.clip(2 - 2 * cosines, 0, None)
        distance /= np.maximum(distance.max(axis=1, keepdims=True), np.float32(1e-12))
        members = _expanded(near_k1 & near_k1.T, near_half & near_half.T)
        weights = np.where(members, np.exp(-distance), np.float32(0))
        weights /= weights.sum(axis=1, keepdims=True)
        averaged = near_k2.astype(np.float32)
        weights = (averaged / averaged.sum(axis=1, keepdims=True)) @ weights
        overlap = np.minimum(weights[0], weights[1:]).sum(axis=1)
        jaccard = 1 - overlap / (2 - overlap)  # both rows sum to 1
        final = (1 - self.original_weight) * jaccard + self.original_weight * distance[0, 1:]
        return candidates.ordered_by(1 - final)


def _expanded(mutual: Mask, half: Mask) -> Mask:
    """R* of every row: R(q, k1/2) joins where two thirds of it lie in R(p, k1) already.

    mutual, half: bool [n, n], R(p, k1) and R(p, k1/2) as rows, the image itself included.
    """
    half_sets = half.astype(np.float32)
    shared = mutual.astype(np.float32) @ half_sets.T
    joins = mutual & (shared >= np.float32(2 / 3) * half_sets.sum(axis=1))
    expanded: Mask = np.logical_or(mutual, joins.astype(np.float32) @ half_sets > 0)
    return expanded
