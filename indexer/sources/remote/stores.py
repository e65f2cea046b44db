"""Where objects lie: one small interface over fsspec and over the guarded web client.

Nothing here is fetched twice by itself: callers ask for whole objects or parts of them, within
limits that hold before the first byte. What may pass (a busy server) is a PassingTrouble, and asked
again by `Store` with pauses, at most so often per host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from indexer.sources.files import too_large
from indexer.sources.interface import SourceLimits
from indexer.sources.patience import HostRates, patiently
from indexer.sources.web import Answer, Gone, WebReader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object. uri: for ever; path: for people. size: bytes. version: see `version_of`."""

    uri: str
    path: str
    size: int | None
    version: int | None


class Store(Protocol):
    """Objects by URI. Thread-safe."""

    def info(self, uri: str) -> Entry | None:
        """The object, or None when there is surely none. Raises UnreadableSource."""

    def read(self, uri: str, size: int | None) -> bytes:
        """The whole object. size: as listed, None when that is not known.

        Raises ImageTooLarge, before reading wherever the size is known, or UnreadableSource.
        """

    def read_range(self, uri: str, start: int, stop: int) -> bytes:
        """The bytes start..stop (excluded), fewer at the end. Raises UnreadableSource."""

    def close(self) -> None: ...


class ListedStore(Store, Protocol):
    """A store that says what it holds. Web servers do so in pages, see `ListingSource`."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The objects below a URI that ends with a slash, in a stable order.

        Raises UnreadableSource, possibly in the middle.
        """


def version_of(modified: datetime | None, etag: str | None) -> int | None:
    """Something that changes when an object does, kept where files have their mtime_ns.

    Stores know the second of a change, so the nanoseconds below carry a hash of the ETag: two
    versions of one second, of equal size, are told apart.
    """
    if modified is None and not etag:
        return None
    seconds = 0 if modified is None else int(modified.timestamp())
    if etag:
        digest = hashlib.blake2b(etag.encode(), digest_size=8).digest()
        return seconds * 1_000_000_000 + int.from_bytes(digest, "little") % 1_000_000_000
    assert modified is not None
    return seconds * 1_000_000_000 + modified.microsecond * 1000


class WebStore:
    """Files of a web server."""

    def __init__(self, limits: SourceLimits, rates: HostRates) -> None:
        self._limits, self._rates = limits, rates
        self._web = WebReader(limits)

    def info(self, uri: str) -> Entry | None:
        try:
            answer = self._ask(uri, lambda: self._web.head(uri))
        except Gone:
            return None
        return Entry(uri, uri, answer.size, version_of(_modified(answer), _etag(answer)))

    def read(self, uri: str, size: int | None) -> bytes:
        if size is not None and size > self._limits.max_bytes:
            raise too_large(uri, size, self._limits)
        return self._ask(uri, lambda: self._web.read(uri))

    def page(self, uri: str) -> Answer:
        """A page of a listing, with where it really is."""
        return self._ask(uri, lambda: self._web.ask(uri, headers={"Accept": "text/html,*/*;q=0.5"}))

    def read_range(self, uri: str, start: int, stop: int) -> bytes:
        return self._ask(uri, lambda: self._web.read_range(uri, start, stop))

    def close(self) -> None:
        self._web.close()

    def _ask(self, uri: str, ask: Callable[[], T]) -> T:
        def once() -> T:
            self._rates.take(host_of(uri))
            return ask()

        return patiently(once, retries=self._limits.retries)


def host_of(uri: str) -> str:
    """Whose patience a URI asks for: its host, or bucket."""
    return uri.partition("://")[2].partition("/")[0].lower()


def _modified(answer: Answer) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers.get("last-modified", "")).astimezone(UTC)
    except ValueError:
        return None


def _etag(answer: Answer) -> str | None:
    return answer.headers.get("etag") or None
