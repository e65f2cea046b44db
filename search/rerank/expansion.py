"""Query expansion and database-side augmentation: averages over neighbours.

αQE: Radenović, Tolias, Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation" (TPAMI
2018), section 3.4: the query and its n best answers are averaged, an answer of cosine s weighing
s^α. Database-side augmentation does the same to each stored vector with its own neighbours: Turcot
and Lowe (ICCV workshops 2009); in the weighted form used here, Gordo et al. (IJCV 2017), section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from search.rerank.interface import Context, Shortlist, unit


@dataclass(frozen=True, slots=True)
class QueryExpansion:
    """αQE. neighbours: n of the paper, answers that are averaged. alpha: α of the paper."""

    neighbours: int = 5
    alpha: float = 3.0

    def __call__(self, candidates: Shortlist, _context: Context, /) -> Shortlist:
        """Score by cosine with q + sum of s_i^α x_i over the best n; hands on that query."""
        best = candidates.vectors[: self.neighbours]
        weights = np.clip(best @ candidates.query, 0, None) ** self.alpha
        expanded = unit((candidates.query + weights @ best)[np.newaxis])[0]
        return replace(candidates, query=expanded).ordered_by(candidates.vectors @ expanded)


@dataclass(frozen=True, slots=True)
class DatabaseAugmentation:
    """Each candidate averaged with its nearest ones in the shortlist, a cosine s weighing s^α."""

    neighbours: int = 5
    alpha: float = 3.0

    def __call__(self, candidates: Shortlist, _context: Context, /) -> Shortlist:
        """Score by cosine with the averaged candidates; hands those on."""
        vectors = candidates.vectors
        weights = np.clip(vectors @ vectors.T, 0, None)
        kept = min(self.neighbours + 1, len(candidates))  # itself is the nearest
        if 0 < kept < len(candidates):
            floor = np.partition(weights, -kept, axis=1)[:, -kept, np.newaxis]
            weights = np.where(weights >= floor, weights, 0)
        augmented = unit(weights**self.alpha @ vectors)
        return replace(candidates, vectors=augmented).ordered_by(augmented @ candidates.query)
