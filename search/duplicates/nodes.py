"""Images as rows while copies are looked for, and what the catalog knows of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from likeness.catalog import Catalog
from likeness.catalog.records import ImageRow
from likeness.catalog.sorting.duplicates import HashColumns
from likeness.types import ImageIds
from search.duplicates.candidates import Candidates
from search.duplicates.relations import Pair, Relation


class Nodes:
    """Images as rows: those of the collection, then those of the other one."""

    def __init__(self, image_ids: ImageIds, hashes: HashColumns) -> None:
        self.image_ids, self.hashes = image_ids, hashes
        self.own = len(image_ids)

    def __len__(self) -> int:
        return len(self.image_ids)

    def extend(self, image_ids: ImageIds, hashes: HashColumns) -> None:
        self.image_ids = np.concatenate([self.image_ids, image_ids])
        self.hashes = HashColumns(
            np.concatenate([self.hashes.sha256, hashes.sha256]),
            np.concatenate([self.hashes.pdq, hashes.pdq]),
            np.concatenate([self.hashes.quality, hashes.quality]),
        )

    def rows_among(self, only: ImageIds | None) -> npt.NDArray[np.int64]:
        if only is None:
            return np.arange(self.own)
        return np.flatnonzero(np.isin(self.image_ids[: self.own], only))

    def sha(self, row: int) -> str:
        return str(self.hashes.sha256[row].tobytes().hex())

    def verdict_key(self, pair: Pair) -> tuple[str, str]:
        first, second = sorted((self.sha(pair.first), self.sha(pair.second)))
        return first, second

    def split_same_bytes(
        self, candidates: Candidates, only: ImageIds | None, *, crossing: bool
    ) -> tuple[list[Pair], Candidates]:
        """Every pair with the same bytes to its first; and the candidates between the firsts."""
        first_of, known = self._first_with_same_bytes()
        allowed = np.zeros(len(self), dtype=np.bool_)
        allowed[self.rows_among(only)] = True
        allowed[self.own :] = True
        rows = np.flatnonzero(known & allowed)
        if crossing:
            linked = self._across(rows, first_of)
        else:
            linked = [
                (int(first_of[row]), int(row))
                for row in rows
                if first_of[row] != row and allowed[first_of[row]]
            ]
        same = [Pair(*rows_of, Relation.SAME_BYTES, 1.0, 1.0, 0, None) for rows_of in linked]
        one = np.arange(len(self)) if crossing else first_of
        keep = first_of[candidates.first] != first_of[candidates.second]
        first, second = one[candidates.first[keep]], one[candidates.second[keep]]
        low, high = np.minimum(first, second), np.maximum(first, second)
        _, at = np.unique(low * len(self) + high, return_index=True)
        return same, Candidates(
            low[at], high[at], candidates.cosine[keep][at], candidates.bits[keep][at]
        )

    def _first_with_same_bytes(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Per row the first row with its bytes, itself where the bytes are not known."""
        keys = np.ascontiguousarray(self.hashes.sha256).view("V32").ravel()
        _, first_at, inverse = np.unique(keys, return_index=True, return_inverse=True)
        known = np.asarray(self.hashes.sha256.any(axis=1), dtype=np.bool_)
        return np.where(known, first_at[inverse], np.arange(len(self))), known

    def _across(
        self, rows: npt.NDArray[np.int64], first_of: npt.NDArray[np.int64]
    ) -> list[tuple[int, int]]:
        theirs: dict[int, list[int]] = {}
        for row in rows[rows >= self.own]:
            theirs.setdefault(int(first_of[row]), []).append(int(row))
        return [
            (int(row), other)
            for row in rows[rows < self.own]
            for other in theirs.get(int(first_of[row]), ())
        ]


class Images:
    """Where an image lies, looked up in pages."""

    def __init__(self, catalog: Catalog, collection_id: int) -> None:
        self._catalog, self._collections = catalog, [collection_id]
        self.rows: dict[int, ImageRow] = {}

    def add_collection(self, collection_id: int) -> None:
        self._collections.append(collection_id)

    def fetch(self, image_ids: Sequence[int]) -> None:
        missing = [image_id for image_id in image_ids if image_id not in self.rows]
        for collection_id in self._collections:
            for start in range(0, len(missing), 5000):
                self.rows |= self._catalog.images(collection_id, missing[start : start + 5000])

    def of(self, image_id: int) -> str:
        self.fetch([image_id])
        return self.rows[image_id].uri
