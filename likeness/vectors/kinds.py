"""The kinds of index, as one literal table: what each builds beside the vectors, and opens.

Every snapshot has `ids.i64` and `vectors.f16`, the exact vectors in the order of their ids. A kind
may add files of its own; what it answers is scored again from the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.errors import SnapshotError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.exact import ExactIndex
from likeness.vectors.index import VectorIndex

WriteFile: TypeAlias = Callable[[str, Iterable[bytes]], None]
"""Writes one more file of the snapshot, durably, from its pieces."""


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """What a kind is opened from. files: the kind's own, by name, uint8 [size], verified."""

    ids: ImageIds
    vectors: StoredVectors
    files: Mapping[str, npt.NDArray[np.uint8]]
    options: Mapping[str, Any]


class Kind(Protocol):
    """How one kind of index is built and opened."""

    def build(self, ids: ImageIds, vectors: StoredVectors, write: WriteFile) -> Mapping[str, Any]:
        """Write the files that the kind adds; returns the options to keep in the manifest.

        ids: int64 [n], ascending; vectors: float16 [n, d], mapped from the disk.
        """
        ...

    def open(self, parts: SnapshotParts) -> VectorIndex: ...


class ExactKind:
    """The float16 scan: its index is the vector file itself, so there is nothing to build."""

    def build(
        self,
        ids: ImageIds,  # noqa: ARG002
        vectors: StoredVectors,  # noqa: ARG002
        write: WriteFile,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        return {}

    def open(self, parts: SnapshotParts) -> VectorIndex:
        return ExactIndex(parts.ids, parts.vectors)


KINDS: Mapping[str, Kind] = {"exact": ExactKind()}


def kind_named(name: str) -> Kind:
    """Raises SnapshotError, naming the kinds there are, for an unknown one."""
    kind = KINDS.get(name)
    if kind is None:
        raise SnapshotError(f"there is no kind of index {name!r} (kinds: {', '.join(KINDS)})")
    return kind
