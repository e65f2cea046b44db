"""Reading, hashing and routing: bytes in, and the shortest way that each image has to go."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from indexer.items import (
    Ended,
    Failure,
    Filling,
    Lacking,
    LeftOut,
    Loaded,
    Routed,
    Settled,
    Twin,
    Unchanged,
    Wanted,
)
from indexer.plan import pages, source_facts
from indexer.sources import SourceItem
from indexer.sources.uris import path_from_uri
from likeness.catalog import Catalog
from likeness.catalog.records import REMOVED, KnownImage, Linked, Moved, SourceFacts
from likeness.errors import ImageError
from likeness.telemetry.totals import TOTALS
from likeness.types import ImageState

_PAGE = 64


class Readable(Protocol):
    """What `load` and `Router` need of a source."""

    def read(self, item: SourceItem) -> bytes:
        """See `Source.read`."""

    def exists(self, uri: str) -> bool:
        """See `Source.exists`."""


def load(wanted: Wanted, source: Readable) -> Loaded | Failure:
    """Read an image and hash its bytes (SHA-256)."""
    item = wanted.item
    facts = source_facts(item, "")
    began = time.perf_counter()
    try:
        data = source.read(item)
    except ImageError as error:
        return Failure(facts, error.code, str(error))
    finally:
        TOTALS.took("read", time.perf_counter() - began, 1)
    return Loaded(with_hash(facts, data), data)


def load_now(wanted: Wanted, source: Readable) -> Loaded | Failure:
    """As `load`, for what was scanned a while ago: a file's size and time are taken anew."""
    item = wanted.item
    try:
        facts = Path(path_from_uri(item.uri)).stat()
    except (OSError, ValueError):  # gone, or not a file: reading says what is wrong with it
        return load(wanted, source)
    current = replace(item, size=facts.st_size, mtime_ns=facts.st_mtime_ns)
    return load(Wanted(current), source)


def load_lacking(lacking: Lacking, source: Readable) -> Loaded | Failure:
    """Read a stored image again; refused when it is no longer the same image."""
    image = lacking.image
    facts = SourceFacts(image.uri, image.path, image.sha256, image.size, image.mtime_ns)
    try:
        data = source.read(SourceItem(image.uri, image.path, image.size, image.mtime_ns))
    except ImageError as error:
        return Failure(facts, error.code, str(error), Filling(image.image_id))
    return filling(facts, image.image_id, data)


def with_hash(facts: SourceFacts, data: bytes) -> SourceFacts:
    """The facts with the SHA-256 of the bytes filled in."""
    sha256 = hashlib.sha256(data).hexdigest()
    return SourceFacts(facts.uri, facts.path, sha256, facts.size, facts.mtime_ns, facts.fields)


class InFlight:
    """Hashes of images between routing and commit: whoever has the same bytes waits for them."""

    def __init__(self) -> None:
        self._hashes: set[str] = set()

    def add(self, sha256: str) -> None:
        self._hashes.add(sha256)

    def discard(self, sha256s: Iterable[str]) -> None:
        """Call after the commit, never before: routing looks here first, then in the catalog."""
        self._hashes.difference_update(sha256s)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._hashes


class Router:
    """Sends each image the shortest way: nothing to do, moved, same bytes as another, or decode."""

    def __init__(
        self,
        catalog: Catalog,
        collection_id: int,
        *,
        in_flight: InFlight,
        exists: Callable[[str], bool],
        restore: bool = False,
    ) -> None:
        """exists: whether what a URI names is still there. restore: removed images come back."""
        self._catalog = catalog
        self._collection_id = collection_id
        self._in_flight = in_flight
        self._exists = exists
        self._restore = restore
        self._claimed: set[int] = set()

    def route(self, loaded: Iterable[Loaded | Failure | Unchanged | Ended]) -> Iterator[Routed]:
        """Yield the outcomes in input order.

        What is read to fill a further space is known by its bytes, and is embedded all the same.
        """
        for page in pages(loaded, _PAGE):
            new = [item for item in page if isinstance(item, Loaded) and item.filling is None]
            hashes = [item.source.sha256 for item in new]
            # Order matters: a hash that is not in flight *now* is in the catalog or new.
            flying = {sha256 for sha256 in hashes if sha256 in self._in_flight}
            ask = [sha256 for sha256 in hashes if sha256 not in flying]
            known = self._catalog.known_by_hash(self._collection_id, ask)
            for item in page:
                if isinstance(item, Loaded) and item.filling is None:
                    yield self._way_of(item, flying, known)
                else:
                    yield item

    def _way_of(self, item: Loaded, flying: set[str], known: dict[str, list[KnownImage]]) -> Routed:
        sha256 = item.source.sha256
        if sha256 in flying:
            return Twin(item.source)
        settled = self._settle(item, known.get(sha256, []))
        if settled is not None:
            return settled
        if sha256 in self._in_flight:
            return Twin(item.source)
        self._in_flight.add(sha256)
        return item

    def _settle(self, item: Loaded, rows: list[KnownImage]) -> Settled | None:
        stored = [row for row in rows if row.has_embedding]
        for row in stored:
            if row.uri == item.source.uri:
                if row.state == ImageState.READY:
                    return Unchanged(item.source, row.image_id)
                if row.reason_code == REMOVED and not self._restore:
                    return LeftOut()
                return Moved(item.source, row.image_id, row.uri)
        for row in stored:
            if row.image_id not in self._claimed and self._has_left(row):
                self._claimed.add(row.image_id)
                return Moved(item.source, row.image_id, row.uri)
        return linked_to(item.source, stored, self._catalog, self._collection_id)

    def _has_left(self, row: KnownImage) -> bool:
        if row.state == ImageState.GONE:
            return row.reason_code != REMOVED
        return not self._exists(row.uri)


def linked_to(
    source: SourceFacts, stored: list[KnownImage], catalog: Catalog, collection_id: int
) -> Linked | None:
    """A link to the first of the stored images with these bytes, or None when there is none."""
    for twin in stored:
        row = catalog.images(collection_id, [twin.image_id]).get(twin.image_id)
        if row is not None and row.facts is not None:
            return Linked(source, row.facts, twin.image_id)
    return None


def filling(source: SourceFacts, image_id: int, data: bytes) -> Loaded | Failure:
    """An image read again for a further space; refused when it is no longer the same image."""
    current = with_hash(source, data)
    if current.sha256 != source.sha256:
        message = f"{source.path}: changed since it was indexed; run `likeness index` on its source"
        return Failure(source, "changed", message, Filling(image_id))
    return Loaded(current, data, filling=Filling(image_id))
