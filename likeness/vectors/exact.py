"""The exact kind: every allowed vector is compared, and the answer is the true one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.halfscan import HalfScan, Scan, Selection, packed
from likeness.vectors.idset import IdSet, positions_in
from likeness.vectors.index import Neighbours
from likeness.vectors.scoring import best_first, exact_scores
from likeness.vectors.validate import check_queries

_FEW = 4096
"""A filter this small is turned into row numbers by binary search, never into bits."""


class ExactIndex:
    """Exact nearest neighbours among float16 rows. Immutable; searched from many threads at once.

    FAISS's float16 scan proposes a few more than k; they are scored again exactly; and when the
    k-th is not clear of what was left behind by more than float32 rounding can blur, everything
    that could still belong is fetched. So ties break by image id however many there are.
    """

    def __init__(
        self,
        row_ids: ImageIds,
        vectors: StoredVectors,
        *,
        live_rows: npt.NDArray[np.int64] | None = None,
        scan: Scan | None = None,
    ) -> None:
        """row_ids: int64 [n], the image of each row; vectors: float16 [n, d], C-contiguous.

        live_rows: the rows that count, where not all do, ordered by their ids, which are then
        each once; None: all, and row_ids is ascending. Neither array may change from now on.
        scan: over the same rows, where another than the processor's is wanted.
        """
        self._row_ids, self._vectors = row_ids, vectors
        self._live_rows = live_rows
        self._ids = row_ids if live_rows is None else row_ids[live_rows]
        self._scan: Scan = HalfScan(vectors) if scan is None else scan
        self._all = Selection(len(vectors))
        if live_rows is not None and len(live_rows) < len(vectors):
            self._all = Selection(len(vectors), bits=packed(live_rows, len(vectors)))
        self._remembered: WeakKeyDictionary[IdSet, Selection] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def ids(self) -> ImageIds:
        """int64 [n], ascending."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def matched(self, *, allowed: IdSet | None = None, removed: IdSet | None = None) -> int:
        return self.select(allowed, removed).count

    def vectors(self, image_ids: ImageIds) -> tuple[ImageIds, StoredVectors]:
        wanted = np.asarray(image_ids, dtype=np.int64).reshape(-1)
        if not len(self._ids):
            return np.empty(0, dtype=np.int64), np.empty((0, self.dim), dtype=np.float16)
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        here = self._ids[at] == wanted
        return wanted[here], np.take(self._vectors, self._rows_of(at[here]), axis=0)

    def search(
        self,
        queries: Embeddings,
        k: int,
        *,
        allowed: IdSet | None = None,
        removed: IdSet | None = None,
    ) -> Neighbours:
        asked = check_queries(queries, self.dim)
        answer = Neighbours.nobody(len(asked), k)
        selection = self.select(allowed, removed)
        fetched = min(k + max(16, k // 4), selection.count)
        if not len(asked) or fetched <= 0 or k <= 0:
            return answer
        rows, scores = self._scan.top(asked, fetched, selection)
        for query in range(len(asked)):
            best, exact = self._settle(asked[query], k, rows[query], scores[query], selection)
            answer.ids[query, : len(best)] = self._row_ids[best]
            answer.scores[query, : len(best)] = exact
        return answer

    def _settle(
        self,
        query: npt.NDArray[np.float32],
        k: int,
        rows: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        selection: Selection,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The true k best rows with exact scores, from the candidates that the scan proposed."""
        exact = exact_scores(query, np.take(self._vectors, rows, axis=0))
        best = best_first(exact, self._row_ids[rows], k)
        if len(rows) < selection.count:
            error = self._scan.error(query)
            worst_kept, best_left = float(exact[best[-1]]), float(scores[-1])
            if best_left + error >= worst_kept:
                rows = self._scan.above(query, worst_kept - 2 * error, selection)
                exact = exact_scores(query, np.take(self._vectors, rows, axis=0))
                best = best_first(exact, self._row_ids[rows], k)
        return rows[best], exact[best]

    def select(self, allowed: IdSet | None, removed: IdSet | None) -> Selection:
        """The rows that a search with these chooses from; remembered while the sets live."""
        selection = self._all
        if allowed is not None:
            selection = self._selection_of(allowed)
        if removed is not None and len(removed):
            selection = selection.without(self._selection_of(removed))
        return selection

    def _selection_of(self, image_ids: IdSet) -> Selection:
        return self._once(image_ids, lambda: self._derive(image_ids))

    def _derive(self, image_ids: IdSet) -> Selection:
        rows = self._rows_of(positions_in(self._ids, image_ids.ids))
        total = len(self._vectors)
        if len(rows) <= _FEW:
            return Selection(total, rows=np.sort(rows))
        return Selection(total, bits=packed(rows, total))

    def _rows_of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return positions if self._live_rows is None else self._live_rows[positions]

    def _once(self, image_ids: IdSet, derive: Callable[[], Selection]) -> Selection:
        with self._lock:
            known = self._remembered.get(image_ids)
        if known is None:
            known = derive()
            with self._lock:
                self._remembered[image_ids] = known
        return known
