"""What travels down the indexing pipeline, one record per stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from indexer.sources import SourceItem
from likeness.catalog.records import Batch, CommitResult, KnownImage, Linked, Moved, SourceFacts
from likeness.imaging.pool import PreparedImage
from likeness.types import StoredVectors


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that has to be read."""

    item: SourceItem


@dataclass(frozen=True, slots=True)
class Lacking:
    """A stored image that has to be read again for a further space."""

    image: KnownImage


@dataclass(frozen=True, slots=True)
class Filling:
    """A stored image that lacks an embedding in the space being filled."""

    image_id: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The bytes of an image, with their hash."""

    source: SourceFacts
    data: bytes
    filling: Filling | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that cannot be used, with the stable code of its reason."""

    source: SourceFacts
    code: str
    message: str
    filling: Filling | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Same bytes under the same URI; at most the file's time or the list's columns are new."""

    source: SourceFacts
    image_id: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A person removed this image from the collection; it stays out."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Same bytes as an image that is further down the pipeline and not committed yet."""

    source: SourceFacts


@dataclass(frozen=True, slots=True)
class Prepared:
    """Decoded and made ready for every encoder of the run."""

    source: SourceFacts
    image: PreparedImage
    filling: Filling | None = None


class Settle(Protocol):
    """Commits all that there is of a piece of queued work, in one transaction with its completion.

    gained: images by outcome, as `Counts` names them, once it is known what the commit did.
    Returns what it did, or None when an earlier call had committed it already.
    """

    def __call__(
        self,
        batch: Batch,
        gained: Callable[[CommitResult], Mapping[str, int]],
        failures: Sequence[Failure],
    ) -> CommitResult | None: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a piece of queued work: what came since the one before it is settled as one."""

    settle: Settle


Reference: TypeAlias = Wanted | Unchanged | Lacking | Ended


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of queued work: images by reference, and how what becomes of them is stored."""

    items: Iterable[Wanted | Unchanged | Lacking]
    end: Ended


Settled: TypeAlias = Failure | Unchanged | LeftOut | Twin | Linked | Moved | Ended
"""Outcomes that need no decoding."""

Routed: TypeAlias = Loaded | Settled
Decoded: TypeAlias = Prepared | Settled


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive outcomes; the i-th `Prepared` among them has row i of each space's vectors."""

    outcomes: Sequence[Decoded]
    vectors: dict[int, StoredVectors]
