"""Indexes that choose candidates by something quicker than the truth, which then decides.

Whatever proposes (codes in this process, an engine elsewhere), what is returned was scored from the
stored float16 vectors, nothing that was not allowed is in it, and k come back when k are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.exact import ExactIndex
from likeness.vectors.halfscan import Selection
from likeness.vectors.idset import IdSet
from likeness.vectors.index import Neighbours
from likeness.vectors.scoring import best_first, exact_scores
from likeness.vectors.validate import check_queries

_BATCH_CANDIDATES = 1 << 20
"""Queries of a batch are answered in groups of so many candidates: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """How hard a compressed index looks; chosen by measuring, kept in the manifest.

    refine: candidates scored exactly for each answer that is asked for; least: but so many at any
    rate. nprobe: cells visited when nothing is filtered.
    direct: up to so many allowed images, they are scanned exactly and the codes are left alone.
    """

    refine: int = 4
    least: int = 100
    nprobe: int = 1
    direct: int = 4096

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Knobs:
        return cls(**{name: int(values[name]) for name in cls.__slots__})


class Proposer(Protocol):
    """What proposes rows. cells: how many parts it visits some of; 1 where there are none.

    most: more candidates than this cannot be asked for, nor a filter be handed over that selects,
    or leaves out, more rows than `most_listed`; None: no limit.
    """

    @property
    def cells(self) -> int: ...
    @property
    def most(self) -> int | None: ...
    @property
    def most_listed(self) -> int | None: ...

    def candidates(
        self, queries: Embeddings, n: int, selection: Selection, nprobe: int
    ) -> npt.NDArray[np.int64]:
        """Rows int64 [q, n] of the selection, in any order, padded with -1."""
        ...


class CandidateIndex:
    """Nearest neighbours by candidates and exact refinement. Immutable and thread-safe."""

    def __init__(
        self, ids: ImageIds, vectors: StoredVectors, proposer: Proposer, knobs: Knobs
    ) -> None:
        """ids: int64 [n], ascending; vectors: float16 [n, d]; proposer: over the same rows."""
        self._exact = ExactIndex(ids, vectors)
        self._row_ids, self._vectors = ids, vectors
        self._proposer, self.knobs = proposer, knobs

    def with_knobs(self, knobs: Knobs) -> Self:
        """The same candidates, looked for otherwise."""
        return type(self)(self._row_ids, self._vectors, self._proposer, knobs)

    @property
    def dim(self) -> int:
        return self._exact.dim

    @property
    def ids(self) -> ImageIds:
        """int64 [n], ascending."""
        return self._row_ids

    @property
    def cells(self) -> int:
        return self._proposer.cells

    @property
    def exact(self) -> ExactIndex:
        """The same images, every one of them compared."""
        return self._exact

    def __len__(self) -> int:
        return len(self._row_ids)

    def matched(self, *, allowed: IdSet | None = None, removed: IdSet | None = None) -> int:
        return self._exact.matched(allowed=allowed, removed=removed)

    def vectors(self, image_ids: ImageIds) -> tuple[ImageIds, StoredVectors]:
        return self._exact.vectors(image_ids)

    def search(
        self,
        queries: Embeddings,
        k: int,
        *,
        allowed: IdSet | None = None,
        removed: IdSet | None = None,
    ) -> Neighbours:
        asked = check_queries(queries, self.dim)
        selection = self._exact.select(allowed, removed)
        fetched = max(self.knobs.least, self.knobs.refine * k)
        if k <= 0 or self._better_exact(fetched, selection):
            return self._exact.search(asked, k, allowed=allowed, removed=removed)
        answer = Neighbours.nobody(len(asked), k)
        nprobe = self._nprobe(selection)
        step = max(1, _BATCH_CANDIDATES // fetched)
        for start in range(0, len(asked), step):
            block = asked[start : start + step]
            rows = self._proposer.candidates(block, fetched, selection, nprobe)
            for at, query in enumerate(block, start):
                near = rows[at - start]
                if near.min() < 0:
                    near = near[near >= 0]
                if len(near) < k:  # the cells that were visited hold too few that are allowed
                    alone = self._exact.search(query[None], k, allowed=allowed, removed=removed)
                    answer.ids[at], answer.scores[at] = alone.ids[0], alone.scores[0]
                    continue
                exact = exact_scores(query, np.take(self._vectors, near, axis=0))
                near_ids = self._row_ids[near]
                best = best_first(exact, near_ids, k)
                answer.ids[at], answer.scores[at] = near_ids[best], exact[best]
        return answer

    def _better_exact(self, fetched: int, selection: Selection) -> bool:
        """Whether comparing every allowed image is quicker than choosing among them, or must be."""
        if selection.count <= max(self.knobs.direct, fetched):
            return True
        most, most_listed = self._proposer.most, self._proposer.most_listed
        listed = min(selection.count, selection.total - selection.count)
        return (most is not None and fetched > most) or (
            most_listed is not None and listed > most_listed
        )

    def _nprobe(self, selection: Selection) -> int:
        """A filter thins the cells out, so more of them are visited, in proportion."""
        visited = -(-self.knobs.nprobe * selection.total // selection.count)
        return min(self.cells, visited)
