"""What a snapshot does not cover yet: a buffer that grows by appends and is scanned exactly."""

from __future__ import annotations

import numpy as np

from likeness.errors import VectorError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.exact import ExactIndex
from likeness.vectors.idset import IdSet
from likeness.vectors.validate import check_ids, check_vectors

_FIRST_ROWS = 256


class Tail:
    """Vectors committed since a snapshot. One writer; its views are immutable and shared freely.

    Rows are only ever appended, and a view looks at the rows that stood when it was taken, so a
    query goes on undisturbed while the next commit is applied.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._ids = np.empty(0, dtype=np.int64)
        self._vectors = np.empty((0, dim), dtype=np.float16)
        self._used = 0
        self._row_of: dict[int, int] = {}

    def __len__(self) -> int:
        """Images in it, dead rows not counted."""
        return len(self._row_of)

    @property
    def rows(self) -> int:
        """Rows in the buffer, dead ones included."""
        return self._used

    @property
    def ids(self) -> IdSet:
        return IdSet(self._row_of)

    def apply(self, added_ids: ImageIds, added_vectors: StoredVectors, dead_ids: ImageIds) -> None:
        """Take in one set of changes: dead images go, added ones come or take their row's place.

        added_ids: int64 [n]; added_vectors: float16 [n, d]; dead_ids: int64 [m].
        Raises VectorError, with nothing applied, for vectors that may not be stored.
        """
        vectors = check_vectors(added_vectors, self.dim, added_ids)
        ids = check_ids(added_ids, len(vectors))
        both = np.intersect1d(ids, dead_ids)
        if len(both):
            raise VectorError(f"image {int(both[0])} was both added and removed in one change")
        for image_id in np.asarray(dead_ids, dtype=np.int64).tolist():
            self._row_of.pop(image_id, None)
        if not len(ids):
            return
        self._make_room(len(ids))
        start, stop = self._used, self._used + len(ids)
        self._ids[start:stop], self._vectors[start:stop] = ids, vectors
        self._row_of.update(zip(ids.tolist(), range(start, stop), strict=True))
        self._used = stop

    def view(self) -> ExactIndex:
        """The tail as it is now, for searching; later changes do not touch it."""
        rows = np.fromiter(self._row_of.values(), dtype=np.int64, count=len(self._row_of))
        ids = self._ids[: self._used]
        return ExactIndex(
            ids,
            self._vectors[: self._used],
            live_rows=rows[np.argsort(ids[rows], kind="stable")],
        )

    def _make_room(self, more: int) -> None:
        """Grow by doubling into new arrays; views keep the old ones. Dead rows are left behind."""
        if self._used + more <= len(self._ids):
            return
        rows = np.fromiter(self._row_of.values(), dtype=np.int64, count=len(self._row_of))
        capacity = max(_FIRST_ROWS, 2 * (len(rows) + more))
        ids = np.empty(capacity, dtype=np.int64)
        vectors = np.empty((capacity, self.dim), dtype=np.float16)
        ids[: len(rows)] = self._ids[rows]
        np.take(self._vectors, rows, axis=0, out=vectors[: len(rows)])
        self._ids, self._vectors, self._used = ids, vectors, len(rows)
        self._row_of = dict(zip(ids[: len(rows)].tolist(), range(len(rows)), strict=True))
