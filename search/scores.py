"""What a cosine means: the chance that a hit this good arises between unrelated images.

A cosine of 0.8 is a copy under one encoder and nothing under the next, and one query's neighbours
are all closer than another's. So a score is first compared with what the same query scores against
a background sample of the collection (Z-normalisation of speaker verification: Auckenthaler,
Carey, Lloyd-Thomas, "Score Normalization for Text-Independent Speaker Verification Systems", 2000).
How large the best such score of an image without relatives gets follows an extreme-value law
(Gumbel, "Statistics of Extremes", 1958; for recognition scores: Scheirer, Rocha, Micheals, Boult,
"Meta-Recognition", TPAMI 2011), fitted to the sample's own nearest neighbours. The largest quarter
of those is left out of the fit, because there the sample holds true copies. The law is carried from
the size of the sample to the number of images searched by its stability under maxima, as sequence
search does for the size of its database (Karlin and Altschul, PNAS 1990).

`p` is therefore a statement about a whole search: among queries to which the collection holds
nothing, a fraction p still gets a best hit at least this good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings
from search.rerank.interface import Vectors, unit

SAMPLE = 2000
"""Images of the background sample."""
FEWEST = 50
"""Below this many images there is no distribution to speak of, and no p."""

_ENOUGH = 500
_KEPT = 0.75
_CLIPPED = (0.05, 0.95)
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class FalseMatchModel:
    """The distribution of non-matches of one space.

    background: float32 [m, d], L2 norm 1, the sample. location, scale: of the Gumbel law of the
    largest of m - 1 normalised scores.
    """

    background: Vectors
    location: float
    scale: float

    def chance(
        self, queries: Embeddings, cosines: npt.NDArray[np.float32], searched: int
    ) -> npt.NDArray[np.float32]:
        """p of each hit: float32 [q, k], 0 to 1.

        queries: float32 [q, d], images, L2 norm 1. cosines: float32 [q, k]. searched: images that
        passed the filter.
        """
        expected = np.exp(-self.evidence(queries, cosines, searched).astype(np.float64))
        chances: npt.NDArray[np.float32] = (-np.expm1(-expected)).astype(np.float32)
        return chances

    def evidence(
        self, queries: Embeddings, cosines: npt.NDArray[np.float32], searched: int
    ) -> npt.NDArray[np.float32]:
        """Minus the logarithm of the expected number of hits this good among unrelated images.

        float32 [q, k], linear in the cosine, and comparable between queries and between spaces.
        """
        mean, spread = self._normal(queries)
        scores = (cosines - mean) / spread
        growth = np.log(max(searched, 1) / (len(self.background) - 1))
        evidence: npt.NDArray[np.float32] = ((scores - self.location) / self.scale - growth).astype(
            np.float32
        )
        return evidence

    def ordinary(self, searched: int) -> float:
        """The evidence of an image that scores as the background does on average."""
        growth = np.log(max(searched, 1) / (len(self.background) - 1))
        return float(-self.location / self.scale - growth)

    def least_cosine(
        self, queries: Embeddings, max_false: float, searched: int
    ) -> npt.NDArray[np.float32]:
        """The cosine from which p is at most max_false (0 < max_false < 1): float32 [q]."""
        mean, spread = self._normal(queries)
        growth = np.log(max(searched, 1) / (len(self.background) - 1))
        evidence = -np.log(-np.log1p(-max_false))
        scores = self.location + self.scale * (evidence + growth)
        floor: npt.NDArray[np.float32] = (mean + spread * scores)[:, 0].astype(np.float32)
        return floor

    def _normal(
        self, queries: Embeddings
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Mean and spread of what each query scores against the sample: float32 [q, 1] each."""
        return _clipped_moments(queries @ self.background.T)


def fit_false_matches(sample: npt.NDArray[np.floating]) -> FalseMatchModel | None:
    """The distribution of non-matches, from a sample of the collection's vectors.

    sample: float16 or float32 [m, d]; `sample_positions` says which. None for fewer than FEWEST
    images, or when the vectors do not differ.
    """
    if len(sample) < FEWEST:
        return None
    background = unit(sample)
    best = np.empty(len(background), dtype=np.float32)
    for start in range(0, len(background), _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosines = background[rows] @ background.T
        own = np.arange(len(cosines))
        others = np.delete(cosines.ravel(), own * cosines.shape[1] + start + own).reshape(
            len(cosines), -1
        )
        mean, spread = _clipped_moments(others)
        best[rows] = ((others.max(axis=1, keepdims=True) - mean) / spread)[:, 0]
    location, scale = fit_gumbel(best, _KEPT)
    if not scale > 0:
        return None
    return FalseMatchModel(background, location, scale)


def sample_positions(n: int) -> npt.NDArray[np.int64]:
    """Which of n images, in order of id, are the background sample: int64, evenly spread.

    Images that were added together (bursts, copies in one folder) have neighbouring ids; spread
    out, the sample seldom holds two of a kind. So not more than every other image is taken once
    that leaves enough.
    """
    size = min(n, SAMPLE, max(n // 2, _ENOUGH))
    return np.unique(np.linspace(0, max(n - 1, 0), size).round().astype(np.int64))


def fit_gumbel(values: npt.NDArray[np.floating], kept: float) -> tuple[float, float]:
    """Location and scale of the Gumbel law of `values`, by the lower fraction `kept` of them.

    A straight line through the probability plot (Gumbel 1958, section 1.2.7), each order statistic
    weighing the inverse of its asymptotic variance.
    """
    ordered = np.sort(values.astype(np.float64))
    quantile = (np.arange(len(ordered)) + 0.5) / len(ordered)
    reduced = -np.log(-np.log(quantile))
    density = -np.log(quantile) * quantile
    weights = np.where(quantile <= kept, density**2 / (quantile * (1 - quantile)), 0)
    weights /= weights.sum()
    x, y = weights @ reduced, weights @ ordered
    scale = (weights * (reduced - x)) @ (ordered - y) / (weights @ (reduced - x) ** 2)
    return float(y - scale * x), float(scale)


def _clipped_moments(
    scores: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and standard deviation of each row, its outer twentieths clipped: float32 [q, 1] each.

    Clipped, because a query's true matches in the sample are no part of the background.
    """
    low, high = np.quantile(scores, _CLIPPED, axis=1, keepdims=True)
    clipped = np.clip(scores, low, high)
    spread = np.maximum(clipped.std(axis=1, keepdims=True), 1e-6)
    return (
        clipped.mean(axis=1, keepdims=True).astype(np.float32),
        spread.astype(np.float32),
    )
