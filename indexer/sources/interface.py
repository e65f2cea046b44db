"""What a source of images is: it lists items, hands over their bytes, and knows what it covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

Fields = Mapping[str, str | float]
"""What a list or a sample says of an image besides its pixels; numbers stay numbers."""

NO_FIELDS: Fields = {}


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What reading one image may cost.

    max_bytes: of one file, member or download. url_timeout_s: of one download in all, redirects
    included. allow_private: whether URLs may lead to addresses of this machine or its network;
    trusted_hosts: names that may although others may not. retries: of a server that is busy.
    web_rate, store_rate: requests per second to one web host, or one bucket; 0: no limit.
    listings: folder where what is in a remote archive is remembered; None: nowhere.
    """

    max_bytes: int = 200 << 20
    url_timeout_s: float = 30.0
    max_redirects: int = 5
    allow_private: bool = False
    trusted_hosts: frozenset[str] = frozenset()
    retries: int = 0
    web_rate: float = 0.0
    store_rate: float = 0.0
    listings: Path | None = None


DEFAULT_LIMITS = SourceLimits()


@dataclass(frozen=True)
class SourceItem:
    """One image that a source offers.

    uri: identifies it for ever; ASCII. path: for people. size: bytes, mtime_ns: nanoseconds since
    1970, both None when only reading tells; when both are as they were, the bytes are taken to be
    the same. For a member of an archive mtime_ns is the archive's.
    """

    uri: str
    path: str
    size: int | None
    mtime_ns: int | None
    fields: Fields = field(default_factory=dict)


class ProblemKind(StrEnum):
    """UNREADABLE: there may be images that could not be listed. SKIPPED: left out on purpose."""

    UNREADABLE = "unreadable"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """Something that a scan met instead of an image.

    prefix: for UNREADABLE, the URI prefix of what could not be listed: nothing that begins with it
    may be declared vanished.
    """

    path: str
    reason: str
    kind: ProblemKind
    prefix: str | None = None


class Source(Protocol):
    """A folder, archive, list or URL. `scan` belongs to one thread, `read` to any number.

    root: URI prefix under which this source may say that images vanished; None for lists.
    """

    root: str | None

    @property
    def unreadable(self) -> tuple[str, ...]:
        """URI prefixes that the scans so far could not list."""

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        """Every item once, in a stable order, while they are found."""

    def read(self, item: SourceItem) -> bytes:
        """The bytes of an item of this source.

        Raises UnreadableSource (gone, forbidden, encrypted, changed while being read) or
        ImageTooLarge, which is found out before reading wherever the size is declared.
        """

    def exists(self, uri: str) -> bool:
        """False only when `uri` is surely no longer there; True also when it cannot be told."""

    def close(self) -> None:
        """Give back files and connections; what was read stays valid."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class Closing:
    """`with source:` for sources that have `close`."""

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
