"""Indexes that choose candidates by something quicker than the truth, which then decides.

Whatever proposes (codes in this process, an engine elsewhere), what is returned was scored from the
stored float16 vectors, nothing that was not allowed is in it, and k come back when k are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.exact import ExactIndex
from likeness.vectors.halfscan import Selection, nearest_rows
from likeness.vectors.idset import IdSet
from likeness.vectors.index import Neighbours
from likeness.vectors.scoring import best_first, exact_scores, scan_error
from likeness.vectors.validate import check_queries

_BATCH_CANDIDATES = 1 << 20
"""Queries of a batch are answered in groups of so many candidates: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """How hard a compressed index looks; chosen by measuring, kept in the manifest.

    refine: candidates scored exactly for each answer that is asked for; least: but so many at any
    rate. reach: how much farther than the nearest cell a cell may be that is visited (see `cells`),
    when nothing is filtered; reach_tenth, reach_hundredth: when a tenth or a hundredth is allowed;
    all for ten neighbours, and deeper: so much more for a hundred.
    direct: up to so many allowed images, they are scanned exactly and the codes are left alone;
    gather: up to so many, their codes are put side by side.
    """

    refine: int = 4
    least: int = 100
    reach: float = 0.0
    reach_tenth: float = 0.0
    reach_hundredth: float = 0.0
    deeper: float = 0.0
    direct: int = 4096
    gather: int = 0

    def reach_for(self, share: float, k: int) -> float:
        """The reach for k neighbours when this share is allowed: measured at 1, 1/10 and 1/100, for
        10 and for 100, and drawn on as straight lines over their logarithms."""
        first = self.reach + self.deeper * max(0.0, math.log10(max(1, k) / 10))
        tenth, hundredth = self.reach_tenth - self.reach, self.reach_hundredth - self.reach_tenth
        decades = -math.log10(share)
        if decades <= 1:
            return first + tenth * decades
        return first + tenth + hundredth * (decades - 1)

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Knobs:
        """Raises KeyError for one that is missing."""
        return cls(
            refine=int(values["refine"]),
            least=int(values["least"]),
            reach=float(values["reach"]),
            reach_tenth=float(values["reach_tenth"]),
            reach_hundredth=float(values["reach_hundredth"]),
            deeper=float(values["deeper"]),
            direct=int(values["direct"]),
            gather=int(values["gather"]),
        )


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
        self, queries: Embeddings, n: int, selection: Selection, reach: float, *, gather: bool
    ) -> npt.NDArray[np.int64]:
        """Rows int64 [q, n] of the selection, the most promising first, padded with -1.

        reach: of the cells that are visited. gather: whether the codes of the selection are put
        side by side, for the next time too, and all of them visited.
        """
        ...

    def reach_until(
        self, queries: Embeddings, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """The reach from which on each query visits a cell of each row: float32 [q, m].

        rows: int64 [q, m], padded with -1, where it is 0.
        """
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

    def reach_until(self, queries: Embeddings, image_ids: ImageIds) -> npt.NDArray[np.float32]:
        """The reach from which on each query visits a cell of each image: float32 [q, m].

        image_ids: int64 [q, m], padded with -1.
        """
        rows = np.where(image_ids < 0, -1, np.searchsorted(self._row_ids, image_ids))
        return self._proposer.reach_until(queries, rows)

    def proposed(
        self, queries: Embeddings, k: int, n: int, allowed: IdSet | None
    ) -> ImageIds | None:
        """The candidates as they are proposed, int64 [q, n], the most promising first, -1 behind.

        From the cells that are visited for k neighbours. None where so many cannot be asked for,
        or not under that filter.
        """
        selection = self._exact.select(allowed, None)
        n = min(n, selection.count)
        if self._better_exact(n - 1, selection):
            return None
        reach = self._reach(k, selection)
        rows = self._proposer.candidates(queries, n, selection, reach, gather=False)
        return np.where(rows < 0, -1, self._row_ids[rows])

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
        reach, gather = self._reach(k, selection), selection.within.count <= self.knobs.gather
        step = max(1, _BATCH_CANDIDATES // fetched)
        for start in range(0, len(asked), step):
            block = asked[start : start + step]
            rows = self._proposer.candidates(block, fetched, selection, reach, gather=gather)
            for at, query in enumerate(block, start):
                near = rows[at - start]
                if near.min() < 0:
                    near = near[near >= 0]
                if len(near) < k:  # the cells that were visited hold too few that are allowed
                    alone = self._exact.search(query[None], k, allowed=allowed, removed=removed)
                    answer.ids[at], answer.scores[at] = alone.ids[0], alone.scores[0]
                    continue
                answer.ids[at], answer.scores[at] = self._best_of(query, near, k)
        return answer

    def _best_of(
        self, query: npt.NDArray[np.float32], near: npt.NDArray[np.int64], k: int
    ) -> tuple[ImageIds, npt.NDArray[np.float32]]:
        """ids and exact scores of the k best of these rows, k <= their number."""
        rows = np.take(self._vectors, near, axis=0)
        fetched = k + max(16, k // 4)
        if len(near) > fetched:
            at, rough = nearest_rows(query, rows, fetched)
            exact = exact_scores(query, rows[at])
            # Those left behind may only be ones that rounding cannot have put there.
            if rough[-1] + scan_error(query) < np.partition(exact, -k)[-k]:
                near = near[at]
            else:
                exact = exact_scores(query, rows)
        else:
            exact = exact_scores(query, rows)
        ids = self._row_ids[near]
        best = best_first(exact, ids, k)
        return ids[best], exact[best]

    def _better_exact(self, fetched: int, selection: Selection) -> bool:
        """Whether comparing every allowed image is quicker than choosing among them, or must be."""
        if selection.count <= max(self.knobs.direct, fetched):
            return True
        most, most_listed = self._proposer.most, self._proposer.most_listed
        listed = min(selection.count, selection.total - selection.count)
        return (most is not None and fetched > most) or (
            most_listed is not None and listed > most_listed
        )

    def _reach(self, k: int, selection: Selection) -> float:
        """A filter thins the cells out, so farther ones are visited, as for more neighbours."""
        return self.knobs.reach_for(selection.count / selection.total, k)
