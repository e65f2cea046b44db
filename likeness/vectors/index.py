"""The interface of an index, whatever its kind, and merging the answers of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.idset import IdSet
from likeness.vectors.scoring import best_first

NO_ID = -1
"""Stands where fewer than k images could be found."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest images to each query, best first.

    ids: int64 [q, k], padded with -1; scores: float32 [q, k], padded with -inf.
    Order: score descending, then image id ascending; the same for any batch and any path.
    """

    ids: ImageIds
    scores: npt.NDArray[np.float32]

    @classmethod
    def nobody(cls, q: int, k: int) -> Neighbours:
        """The answer of an empty index."""
        return cls(
            np.full((q, k), NO_ID, dtype=np.int64),
            np.full((q, k), -np.inf, dtype=np.float32),
        )

    def row(self, query: int) -> tuple[ImageIds, npt.NDArray[np.float32]]:
        """ids int64 [m] and scores float32 [m] of one query, without the padding."""
        found = self.ids[query] != NO_ID
        return self.ids[query][found], self.scores[query][found]


class VectorIndex(Protocol):
    """Stored vectors that can be searched. Immutable and safe to search from many threads.

    Every kind keeps the same promises, and one suite in tests/contracts/ holds them to it:
    scores are exact in float32 from the stored float16 vectors, and when k images are allowed, k
    come back. How often the k are the true best ones is the kind's recall: 1 for the exact kind.
    """

    @property
    def dim(self) -> int: ...

    @property
    def ids(self) -> ImageIds:
        """Every image in it: int64 [n], ascending."""
        ...

    def __len__(self) -> int: ...

    def search(
        self,
        queries: Embeddings,
        k: int,
        *,
        allowed: IdSet | None = None,
        removed: IdSet | None = None,
    ) -> Neighbours:
        """The k best of the images in `allowed` (None: all) that are not in `removed`.

        queries: float32 [q, d]. Ids that the index does not hold are of no effect.
        Raises VectorError for queries of a wrong dimension, NaN, or all zero.
        """
        ...

    def matched(self, *, allowed: IdSet | None = None, removed: IdSet | None = None) -> int:
        """How many images a search with these would choose from."""
        ...

    def vectors(self, image_ids: ImageIds) -> tuple[ImageIds, StoredVectors]:
        """Stored vectors of those images that are here.

        Returns ids int64 [m] in the order asked, m <= n, and float16 [m, d].
        """
        ...


def merge(answers: Sequence[Neighbours], k: int) -> Neighbours:
    """The k best over answers to the same queries; no image may stand in two of them."""
    if len(answers) == 1 and answers[0].ids.shape[1] == k:
        return answers[0]
    ids = np.concatenate([answer.ids for answer in answers], axis=1)
    scores = np.concatenate([answer.scores for answer in answers], axis=1)
    merged = Neighbours.nobody(len(ids), k)
    for query in range(len(ids)):
        found = np.flatnonzero(ids[query] != NO_ID)
        best = found[best_first(scores[query][found], ids[query][found], k)]
        merged.ids[query, : len(best)] = ids[query][best]
        merged.scores[query, : len(best)] = scores[query][best]
    return merged
