"""The kinds of index, as one literal table: what each builds beside the vectors, and opens.

Every snapshot has `ids.i64` and `vectors.f16`, the exact vectors in the order of their ids. A kind
may add files of its own; what it answers is scored again from the vectors.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.errors import SnapshotError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors import milvus
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.compressed import Built, Codes
from likeness.vectors.engine import load_faiss
from likeness.vectors.exact import ExactIndex
from likeness.vectors.files import DurableFile
from likeness.vectors.index import VectorIndex
from likeness.vectors.layout import ALL_DIRECTIONS, LEADING_DIRECTIONS, Layouts

NewFile: TypeAlias = Callable[[str], AbstractContextManager[DurableFile]]
"""Opens one more file of the snapshot; leaving the block makes it durable."""

CODES_NAME = "codes.faiss"
ROW_CODES_NAME = "codes.u8"
"""The same codes in the order of the rows, for filters: uint8 [n, bytes]."""
PLACES_NAME = "cells.i32"
"""The cell of each row: int32 [n]."""

COLLECTION_NAME = "milvus.collection"
_ROWS_TO_TRAIN = 256
"""With fewer rows than this the codes would cost more than they save."""

_MOST_CELLS = 65_536
_ROWS_WRITTEN = 65_536


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """What a kind is opened from. files: the kind's own, by name, uint8 [size], verified.

    server: of a kind that stands elsewhere.
    """

    ids: ImageIds
    vectors: StoredVectors
    files: Mapping[str, npt.NDArray[np.uint8]]
    options: Mapping[str, Any]
    server: str = ""


class Kind(Protocol):
    """How one kind of index is built and opened.

    fallback: the kind that stands in when this one misses the recall that is asked of it; None
    for one that is exact.
    """

    @property
    def fallback(self) -> str | None: ...

    def build(
        self, ids: ImageIds, vectors: StoredVectors, new_file: NewFile, server: str
    ) -> Mapping[str, Any]:
        """Write the files that the kind adds; returns the options to keep in the manifest.

        ids: int64 [n], ascending; vectors: float16 [n, d], mapped from the disk.
        """
        ...

    def open(self, parts: SnapshotParts) -> VectorIndex: ...

    def dispose(self, folder: Path, server: str) -> None:
        """What the snapshot in the folder keeps elsewhere is gone."""
        ...


class ExactKind:
    """The float16 scan: its index is the vector file itself, so there is nothing to build."""

    fallback: str | None = None

    def build(
        self,
        ids: ImageIds,  # noqa: ARG002
        vectors: StoredVectors,  # noqa: ARG002
        new_file: NewFile,  # noqa: ARG002
        server: str,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        return {}

    def open(self, parts: SnapshotParts) -> VectorIndex:
        return ExactIndex(parts.ids, parts.vectors)

    def dispose(self, folder: Path, server: str) -> None:
        """Nothing is kept elsewhere."""


class CompressedKind:
    """4-bit codes: all scanned (`cells` 1), or in cells of which a query visits some."""

    def __init__(
        self,
        fallback: str,
        cells_of: Callable[[int], int],
        layouts: Layouts = LEADING_DIRECTIONS,
    ) -> None:
        self.fallback: str | None = fallback
        self._cells_of, self._layouts = cells_of, layouts

    def build(
        self,
        ids: ImageIds,  # noqa: ARG002
        vectors: StoredVectors,
        new_file: NewFile,
        server: str,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        if len(vectors) < _ROWS_TO_TRAIN:
            return {}
        faiss = load_faiss()
        cells = self._cells_of(len(vectors))
        built = Built(vectors, cells, self._layouts)
        with new_file(CODES_NAME) as file:
            faiss.write_index(built.engine, faiss.PyCallbackIOWriter(file.write, 1 << 20))
        with new_file(ROW_CODES_NAME) as file:
            _write_rows(file, built.codes)
        with new_file(PLACES_NAME) as file:
            _write_rows(file, built.places)
        return Knobs(direct=0).as_dict() | {"cells": cells}

    def open(self, parts: SnapshotParts) -> VectorIndex:
        codes = parts.files.get(CODES_NAME)
        if codes is None:  # so few rows that none were made
            return ExactIndex(parts.ids, parts.vectors)
        try:
            in_rows = parts.files[ROW_CODES_NAME].reshape(len(parts.ids), -1)
            places = parts.files[PLACES_NAME].view(np.int32)
            proposer = Codes(load_faiss().deserialize_index(codes), in_rows, places)
            knobs = Knobs.from_dict(parts.options)
        except (RuntimeError, AttributeError, ValueError, KeyError) as error:
            raise SnapshotError(
                f"the compressed codes were written by another FAISS than this one reads: {error}; "
                "build them again with `likeness reindex`"
            ) from error
        return CandidateIndex(parts.ids, parts.vectors, proposer, knobs)

    def dispose(self, folder: Path, server: str) -> None:
        """Nothing is kept elsewhere."""


def _write_rows(file: DurableFile, rows: npt.NDArray[Any]) -> None:
    for start in range(0, len(rows), _ROWS_WRITTEN):
        file.write(rows[start : start + _ROWS_WRITTEN].tobytes())


class MilvusKind:
    """Candidates from a Milvus server, or from milvus-lite in this process."""

    fallback: str | None = "compressed"

    def build(
        self, ids: ImageIds, vectors: StoredVectors, new_file: NewFile, server: str
    ) -> Mapping[str, Any]:
        name = f"likeness_{secrets.token_hex(8)}"
        with new_file(COLLECTION_NAME) as file:  # first, so that a killed build can be swept
            file.write(name.encode())
        milvus.fill(server, name, ids, vectors)
        return Knobs(direct=0).as_dict()

    def open(self, parts: SnapshotParts) -> VectorIndex:
        name = parts.files[COLLECTION_NAME].tobytes().decode()
        proposer = milvus.MilvusProposer(parts.server, name, parts.ids)
        return CandidateIndex(parts.ids, parts.vectors, proposer, Knobs.from_dict(parts.options))

    def dispose(self, folder: Path, server: str) -> None:
        name = folder / COLLECTION_NAME
        if name.is_file():
            milvus.drop(server, name.read_text())


def _cells(n: int) -> int:
    """About twice the square root of n, a power of two: cells of some hundred images.

    More cells leave fewer codes to scan, but each that is visited waits for memory once: of 1,024,
    2,048 and 4,096 cells of 1,000,000 × 512 none was quicker than the others by a tenth.
    """
    return min(_MOST_CELLS, 1 << round(math.log2(max(16.0, 2 * math.sqrt(n)))))


KINDS: Mapping[str, Kind] = {
    "exact": ExactKind(),
    "compressed": CompressedKind("compressed-long", lambda _: 1),
    "compressed-long": CompressedKind("exact", lambda _: 1, ALL_DIRECTIONS),
    "ivf": CompressedKind("compressed", _cells),
    "milvus": MilvusKind(),
}


def kind_named(name: str) -> Kind:
    """Raises SnapshotError, naming the kinds there are, for an unknown one."""
    kind = KINDS.get(name)
    if kind is None:
        raise SnapshotError(f"there is no kind of index {name!r} (kinds: {', '.join(KINDS)})")
    return kind
