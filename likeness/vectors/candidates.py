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
from likeness.vectors.halfscan import Selection
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
    rate. nprobe: cells visited when nothing is filtered; nprobe_tenth, nprobe_hundredth: when a
    tenth or a hundredth is allowed, 0 where that was not measured; all for ten neighbours, and
    deeper: per cent of them for a hundred.
    direct: up to so many allowed images, they are scanned exactly and the codes are left alone.
    """

    refine: int = 4
    least: int = 100
    nprobe: int = 1
    nprobe_tenth: int = 0
    nprobe_hundredth: int = 0
    deeper: int = 100
    direct: int = 4096

    def probes(self, share: float, k: int) -> float:
        """Cells to visit for k neighbours when this share is allowed: measured at 1, 1/10 and
        1/100, for 10 and for 100, and drawn on as straight lines in logarithms."""
        first = self.nprobe * (self.deeper / 100) ** max(0.0, math.log10(max(1, k) / 10))
        tenth = self.nprobe_tenth or 10 * self.nprobe
        hundredth = self.nprobe_hundredth or 10 * tenth
        decades = -math.log10(share)
        if decades <= 1:
            return float(first * (tenth / self.nprobe) ** decades)
        return float(first * tenth / self.nprobe * (hundredth / tenth) ** (decades - 1))

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Knobs:
        return cls(**{name: int(values[name]) for name in cls.__slots__ if name in values})


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
        """Rows int64 [q, n] of the selection, the most promising first, padded with -1."""
        ...

    def cells_until(
        self, queries: Embeddings, rows: npt.NDArray[np.int64], vectors: StoredVectors
    ) -> npt.NDArray[np.int64]:
        """How many cells each query visits until it has been in that of each row: int64 [q, m].

        rows: int64 [q, m], padded with -1; vectors: float16 [n, d], those indexed. Only asked of
        one that has cells.
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

    def cells_until(self, queries: Embeddings, image_ids: ImageIds) -> npt.NDArray[np.int64]:
        """How many cells each query visits until it has been in that of each image: int64 [q, m].

        image_ids: int64 [q, m], padded with -1.
        """
        rows = np.where(image_ids < 0, -1, np.searchsorted(self._row_ids, image_ids))
        return self._proposer.cells_until(queries, rows, self._vectors)

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
        rows = self._proposer.candidates(queries, n, selection, self._nprobe(k, selection))
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
        nprobe = self._nprobe(k, selection)
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
                answer.ids[at], answer.scores[at] = self._best_of(query, near, k)
        return answer

    def _best_of(
        self, query: npt.NDArray[np.float32], near: npt.NDArray[np.int64], k: int
    ) -> tuple[ImageIds, npt.NDArray[np.float32]]:
        """ids and exact scores of the k best of these rows, k <= their number."""
        rows = np.take(self._vectors, near, axis=0)
        if len(near) > 2 * k:
            # In float32 first: what is further below the k-th than rounding can blur is out.
            rough = rows.astype(np.float32) @ query
            bar = float(np.partition(rough, -k)[-k]) - 2 * scan_error(query)
            kept = np.flatnonzero(rough >= bar)
            near, rows = near[kept], rows[kept]
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

    def _nprobe(self, k: int, selection: Selection) -> int:
        """A filter thins the cells out, so more of them are visited, as for more neighbours."""
        if self.cells == 1:
            return 1
        probes = self.knobs.probes(selection.count / selection.total, k)
        return max(1, min(self.cells, math.ceil(probes)))
