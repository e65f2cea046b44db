"""Diffusion: Iscen, Tolias, Avrithis, Furon, Chum, "Efficient Diffusion on Region Manifolds:
Recovering Small Objects with Compact CNN Representations" (CVPR 2017).

Similarity flows from the query along the mutual nearest-neighbour graph of the shortlist (the
paper's truncation, section 5). The steady state is the solution of (I - αS) f = (1 - α) y, found
with conjugate gradients (section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.rerank.interface import Context, Shortlist
from search.rerank.nearest import nearest_masks

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Diffusion:
    """neighbours: k, mutual nearest candidates that are linked. query_neighbours: k of the
    query, where the flow starts. gamma: γ, power of the cosine. alpha: α, share that flows on
    instead of starting anew. tolerance, iterations: of the conjugate gradients (relative)."""

    neighbours: int = 20
    query_neighbours: int = 10
    gamma: float = 3.0
    alpha: float = 0.9
    tolerance: float = 1e-5
    iterations: int = 50

    def __call__(self, candidates: Shortlist, context: Context, /) -> Shortlist:
        """Score by what has arrived; where nothing did, by cosine, below all the others."""
        if len(candidates) == 0:
            return candidates
        points = np.vstack([candidates.query, candidates.vectors])
        cosines = points @ points.T
        (near,) = nearest_masks(cosines, candidates.ids, (self.neighbours,), context.neighbours)
        links = near[1:, 1:] & near[1:, 1:].T
        np.fill_diagonal(links, val=False)
        affinity = np.where(links, np.clip(cosines[1:, 1:], 0, None) ** self.gamma, np.float32(0))
        start = np.clip(candidates.vectors @ candidates.query, 0, None) ** self.gamma
        start[np.argsort(-start, kind="stable")[self.query_neighbours :]] = 0
        arrived = steady_state(
            affinity, start, self.alpha, tolerance=self.tolerance, iterations=self.iterations
        )
        return candidates.ordered_by(_reached_first(arrived, cosines[0, 1:]))


def steady_state(
    affinity: Matrix, start: Matrix, alpha: float, *, tolerance: float, iterations: int
) -> Matrix:
    """f with (I - αS) f = (1 - α) y, S = D^-1/2 A D^-1/2 of the symmetric affinity A.

    affinity: float32 [n, n] >= 0, symmetric, diagonal 0. start: y, float32 [n] >= 0.
    Rows without a link keep what they start with, times (1 - α).
    """
    degrees = affinity.sum(axis=1)
    root = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, np.float32(1e-12))), 0)
    root = root.astype(np.float32)
    normalised = affinity * root[:, np.newaxis] * root
    right = ((1 - alpha) * start).astype(np.float32)
    found: Matrix = right.copy()
    residual: Matrix = (right - found + np.float32(alpha) * (normalised @ found)).astype(np.float32)
    direction = residual.copy()
    energy = float(residual @ residual)
    enough = (tolerance * float(np.linalg.norm(right))) ** 2
    for _ in range(iterations):
        if energy <= enough:
            break
        applied = direction - np.float32(alpha) * (normalised @ direction)
        step = np.float32(energy / float(direction @ applied))
        found = (found + step * direction).astype(np.float32)
        residual = (residual - step * applied).astype(np.float32)
        previous, energy = energy, float(residual @ residual)
        direction = residual + np.float32(energy / previous) * direction
    return found


def _reached_first(arrived: Matrix, cosines: Matrix) -> Matrix:
    """Arrived similarity scaled to (0, 1]; images out of reach get their cosine less 2, < 0."""
    largest = float(arrived.max())
    if largest <= 0:
        return cosines
    share = arrived / np.float32(largest)
    return np.where(share > 1e-6, share, np.clip(cosines, -1, 1) - np.float32(2))
