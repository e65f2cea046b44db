"""What a re-ranker is: a shortlist in, the same images in a better order out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from likeness.errors import QueryError
from likeness.types import ImageIds
from search.rerank.matching import PatchFeatures

Scores = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The candidates of one query, best first.

    query: float32 [d], L2 norm 1. ids: int64 [k]. scores: float32 [k], never increasing; cosines
    at first, afterwards on the scale of the last re-ranker. vectors: float32 [k, d], L2 norm 1.
    """

    query: Vectors
    ids: ImageIds
    scores: Scores
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.ids)

    def ordered_by(self, scores: npt.NDArray[np.floating]) -> Shortlist:
        """The same candidates with new scores, best first; ties keep their present order."""
        order = np.argsort(-scores, kind="stable")
        return replace(
            self,
            ids=self.ids[order],
            scores=scores[order].astype(np.float32),
            vectors=self.vectors[order],
        )

    def scores_as_cosines(self) -> Scores:
        """Scores brought to the range of the cosines with the query, in the same order.

        For re-rankers that add to the scores or subtract from them: after one with a scale of its
        own, or a fusion of spaces, they are no cosines. Those that are stay what they are.
        """
        if len(self) == 0:
            return self.scores
        cosines = self.vectors @ self.query
        lowest, highest = float(self.scores.min()), float(self.scores.max())
        if highest <= lowest:
            return np.full(len(self), cosines.mean(), dtype=np.float32)
        low, high = float(cosines.min()), float(cosines.max())
        share = (self.scores - np.float32(lowest)) / np.float32(highest - lowest)
        scaled: Scores = (low + (high - low) * share).astype(np.float32)
        return scaled


def shortlist(
    query: npt.NDArray[np.floating], ids: ImageIds, vectors: npt.NDArray[np.floating]
) -> Shortlist:
    """The shortlist of candidates by cosine.

    query: float [d], ids: int64 [k], vectors: float16 or float32 [k, d]; norms need not be 1.
    Raises QueryError when the shapes do not belong together.
    """
    if query.ndim != 1 or vectors.shape != (len(ids), len(query)):
        raise QueryError(
            f"a query of shape {list(query.shape)} and candidates of shape {list(vectors.shape)} "
            f"for {len(ids)} ids do not belong together"
        )
    unit_query = unit(query[np.newaxis])[0]
    unit_vectors = unit(vectors)
    cosines = unit_vectors @ unit_query
    return Shortlist(unit_query, np.asarray(ids, np.int64), cosines, unit_vectors).ordered_by(
        cosines
    )


def unit(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Rows scaled to L2 norm 1, float32; rows of zeros stay zero."""
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return scaled


class NeighbourLists(Protocol):
    """Nearest neighbours within the whole collection, from its neighbour graph."""

    def neighbours(self, image_ids: ImageIds) -> tuple[ImageIds, Scores]:
        """ids int64 [n, m], itself left out, padded with -1, and cosines float32 [n, m]; best
        first. An image that the graph does not hold has a row of -1."""
        ...


class PatchSource(Protocol):
    """Patch features of stored images."""

    def features(self, image_ids: ImageIds) -> Sequence[PatchFeatures | None]:
        """One per image, in order; None where the image cannot be read any more."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a re-ranker may use besides vectors; every part may be absent.

    neighbours: without it, neighbours are sought within the shortlist.
    query_patches, patches: needed by the patch re-ranker only.
    """

    neighbours: NeighbourLists | None = None
    query_patches: PatchFeatures | None = None
    patches: PatchSource | None = None


class Reranker(Protocol):
    """Puts a shortlist into a better order."""

    def __call__(self, candidates: Shortlist, context: Context, /) -> Shortlist:
        """The same ids, reordered, with new scores that never increase.

        query and vectors of the result are what the next re-ranker should use: query expansion,
        for one, hands on the expanded query.
        """
        ...
