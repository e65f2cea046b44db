"""What goes into the catalog and what comes out of it, as frozen records; no SQL here.

`sha256` is lower-case hex everywhere in this API, and `""` where the bytes could not be read.
Times that are ours (`created_at`, `added_at`) are aware and UTC; `taken_at` is the camera's own
local time, without a zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from likeness.types import ImageFacts, ImageIds, ImageState, StoredVectors, Tower

REMOVED = "removed"
"""Reason code of an image that a person took out; indexing its source does not bring it back."""

FieldValue: TypeAlias = str | float
"""A value of a list column. Integers are welcome and come back as floats."""


# --------------------------------------------------------------------------- collections


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of images. revision: of its latest commit; 0 when nothing was committed yet."""

    id: int
    name: str
    created_at: datetime
    revision: int


class SpaceState(StrEnum):
    """ACTIVE answers queries; FILLING is being embedded beside it; RETIRED is kept for rollback."""

    ACTIVE = "active"
    FILLING = "filling"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Space:
    """A collection's embeddings under one encoder fingerprint. dim: length of a vector."""

    id: int
    collection_id: int
    encoder: str
    fingerprint: str
    dim: int
    towers: frozenset[Tower]
    state: SpaceState


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images stand where. failures: reason code → images, most frequent first."""

    by_state: Mapping[ImageState, int]
    failures: Mapping[str, int]

    @property
    def ready(self) -> int:
        return self.by_state.get(ImageState.READY, 0)

    @property
    def failed(self) -> int:
        return self.by_state.get(ImageState.FAILED, 0)

    @property
    def pending(self) -> int:
        return self.by_state.get(ImageState.PENDING, 0)

    @property
    def gone(self) -> int:
        return self.by_state.get(ImageState.GONE, 0)


@dataclass(frozen=True, slots=True)
class SpaceSummary:
    """embedded: ready images that have a vector in this space. stored_bytes: of its chunks."""

    space: Space
    embedded: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    collection: Collection
    counts: Counts
    spaces: tuple[SpaceSummary, ...]


# --------------------------------------------------------------------------- what is written


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Where an image came from. uri: identity; path: the same for human eyes.

    fields: columns of the list that named it (`--from list.csv`), kept and searchable.
    """

    uri: str
    path: str
    sha256: str
    size: int | None = None
    mtime_ns: int | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A decoded image. vector: its row in every array of `Batch.vectors`; rows may be shared."""

    source: SourceFacts
    facts: ImageFacts
    vector: int


@dataclass(frozen=True, slots=True)
class Linked:
    """The same bytes as image twin_id: shares its embeddings in every space."""

    source: SourceFacts
    facts: ImageFacts
    twin_id: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Image image_id, still known or gone, is now found at source.uri.

    from_uri: where the caller saw it last. When it has been moved elsewhere since, the new place
    becomes an image of its own that shares the embeddings, instead of taking the row away again.
    """

    source: SourceFacts
    image_id: int
    from_uri: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that cannot be used. reason_code: `ImageError.code`, stable, for grouping."""

    source: SourceFacts
    reason_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Filled:
    """The embedding of a ready image in a further space. vector: as in `Stored`."""

    image_id: int
    vector: int


BatchItem: TypeAlias = Stored | Linked | Moved | Failed | Filled


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction commits. vectors: space id → float16 [m, d], L2 norm 1."""

    items: Sequence[BatchItem]
    vectors: Mapping[int, StoredVectors] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a batch did, as image ids in the order of its items; each item is in one list.

    stored, linked, moved, failed, filled: rows written for items of that kind.
    skipped: items that were already so, and left nothing to write.
    revision: the collection's after the commit; unchanged when nothing was written.
    """

    revision: int
    stored: tuple[int, ...] = ()
    linked: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    filled: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()


# --------------------------------------------------------------------------- what is read


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What a scan compares with. has_embedding: the spaces that hold this image's vector."""

    image_id: int
    uri: str
    path: str
    sha256: str
    size: int | None
    mtime_ns: int | None
    state: ImageState
    reason_code: str | None
    has_embedding: frozenset[int]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """Everything known of an image. facts: None until it was decoded once."""

    id: int
    collection_id: int
    uri: str
    path: str
    sha256: str
    size: int | None
    mtime_ns: int | None
    state: ImageState
    reason_code: str | None
    message: str | None
    facts: ImageFacts | None
    added_at: datetime
    revision: int
    tags: frozenset[str]
    fields: Mapping[str, FieldValue]


class SnapshotState(StrEnum):
    """CURRENT is served; PREVIOUS was, and may serve again; ASIDE must not answer."""

    CURRENT = "current"
    PREVIOUS = "previous"
    ASIDE = "aside"


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A published index. revision: it covers every embedding up to it. reason: why set aside."""

    name: str
    space_id: int
    state: SnapshotState
    revision: int
    manifest: Mapping[str, Any]
    created_at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Where a collection and a space's index stand now."""

    revision: int
    snapshot: SnapshotRow | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a space after a revision, up to `revision`.

    added_ids: int64 [n] ascending; added_vectors: float16 [n, d]: ready images whose embedding
    is new or whose image came back; an id may be one that the reader already holds.
    dead_ids: int64 [m] ascending, images that no answer may contain any more.
    """

    revision: int
    added_ids: ImageIds
    added_vectors: StoredVectors
    dead_ids: ImageIds
