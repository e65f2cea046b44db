"""Maximal marginal relevance: Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking
for Reordering Documents and Producing Summaries" (SIGIR 1998)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.rerank.interface import Context, Shortlist


@dataclass(frozen=True, slots=True)
class Diversity:
    """relevance: λ of the paper; 1 keeps the order, less shows fewer images like those above."""

    relevance: float = 0.7

    def __call__(self, candidates: Shortlist, _context: Context, /) -> Shortlist:
        """Pick, one after another, the image with the largest λ s - (1 - λ) max cosine to those
        picked before; that value is its score."""
        if len(candidates) == 0:
            return candidates
        worth = np.float32(self.relevance) * candidates.scores_as_cosines()
        likeness = np.float32(1 - self.relevance) * (candidates.vectors @ candidates.vectors.T)
        nearest = np.full(len(candidates), -np.float32(1 - self.relevance))
        picked = np.empty(len(candidates), dtype=np.int64)
        scores = np.empty(len(candidates), dtype=np.float32)
        margin = worth - nearest
        for turn in range(len(candidates)):
            best = int(np.argmax(margin))
            picked[turn], scores[turn] = best, margin[best]
            worth[best] = -np.inf
            np.maximum(nearest, likeness[best], out=nearest)
            margin = worth - nearest
        result = np.empty_like(scores)
        result[picked] = scores
        return candidates.ordered_by(result)
