"""The scan diff: what a source holds against what the catalog knows of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from indexer.items import Unchanged, Wanted
from indexer.progress import Progress
from indexer.sources import Source, SourceItem, SourceProblem
from likeness.catalog import Catalog
from likeness.catalog.records import KnownImage, SourceFacts
from likeness.catalog.rows import MAX_URI_BYTES
from likeness.errors import UnreadableSource
from likeness.telemetry.totals import timed
from likeness.types import ImageState

T = TypeVar("T")

_PAGE = 500


class SeenUris:
    """The URIs of one scan as 8-byte hashes: ten million take about 0.7 GB less than strings.

    A collision (odds below 1e-5 at ten million) keeps a vanished image until the next scan, which
    is the harmless side.
    """

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, uri: str) -> None:
        self._hashes.add(self._hash(uri))

    def __contains__(self, uri: str) -> bool:
        return self._hash(uri) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    @staticmethod
    def _hash(uri: str) -> int:
        digest = hashlib.blake2b(uri.encode("utf-8", "surrogateescape"), digest_size=8)
        return int.from_bytes(digest.digest(), "little")


def pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` consecutive items."""
    page: list[T] = []
    for item in items:
        page.append(item)
        if len(page) >= size:
            yield page
            page = []
    if page:
        yield page


class Scannable(Protocol):
    """What `plan` needs of a source."""

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        """See `Source.scan`."""


def plan(
    source: Scannable,
    catalog: Catalog,
    collection_id: int,
    *,
    seen: SeenUris,
    progress: Progress,
    retry_failed: bool,
    stop: threading.Event,
) -> Iterator[Wanted | Unchanged]:
    """Yield what has to be read, in scan order; count the rest as kept.

    Kept images that a list gives columns for are yielded too: the columns may have changed.

    An image is kept when its size and modification time are those of its live row. One that
    failed is read again when asked, or when it could not be read at all the last time.
    """
    for page in pages(_images(source, seen, progress, stop), _PAGE):
        known = catalog.known_by_uri(collection_id, [item.uri for item in page])
        for item in page:
            row = known.get(item.uri)
            if row is None or not _is_unchanged(item, row) or _is_due(row, retry_failed):
                yield Wanted(item)
            elif item.fields and row.state == ImageState.READY:
                yield Unchanged(source_facts(item, row.sha256), row.image_id)
            else:
                progress.add(kept=1)


def sweep(
    source: Source,
    catalog: Catalog,
    collection_id: int,
    *,
    seen: SeenUris,
    progress: Progress,
    prune: bool,
) -> None:
    """Mark as gone what the source held once and holds no more.

    Only what the source answers for can vanish, and only when the source is sure: nothing outside
    its root, nothing that still exists but is left out by a pattern, nothing under a folder that
    could not be read. A root in which nothing at all is found is taken for an unmounted disk and
    left alone, unless `prune`.
    """
    if source.root is None:
        return
    gone: list[int] = []
    live = 0
    after: str | None = None
    while page := catalog.live_uris(collection_id, source.root, after, _PAGE):
        live += len(page)
        gone.extend(
            image_id for image_id, uri, _ in page if uri not in seen and not source.exists(uri)
        )
        after = page[-1][1]
    if gone and not len(seen) and not prune:
        progress.notices.append(
            f"{source.root} holds no images now, but {live} of the catalog are from there: is a "
            "disk unmounted? They were kept; run again with --prune to let them go"
        )
        return
    for ids in pages(gone, 1000):
        progress.add(gone=catalog.mark_gone(collection_id, ids))


def source_facts(item: SourceItem, sha256: str) -> SourceFacts:
    """What the catalog keeps of an item. sha256: of its bytes; empty when they are not known."""
    return SourceFacts(item.uri, item.path, sha256, item.size, item.mtime_ns, item.fields)


def _images(
    source: Scannable, seen: SeenUris, progress: Progress, stop: threading.Event
) -> Iterator[SourceItem]:
    for found in timed(source.scan(), "scan"):
        if stop.is_set():
            return
        if isinstance(found, SourceProblem):
            progress.problem(found.path, found.kind, found.reason, counted_as="problems")
            continue
        if len(found.uri.encode()) > MAX_URI_BYTES:
            reason = f"its name takes more than {MAX_URI_BYTES:,} bytes as a URI; move or rename it"
            progress.problem(found.path, "name_too_long", reason, counted_as="problems")
            continue
        progress.add(scanned=1)
        if found.uri in seen:
            progress.add(kept=1)
            continue
        seen.add(found.uri)
        yield found


def _is_unchanged(item: SourceItem, row: KnownImage) -> bool:
    return item.size == row.size and item.mtime_ns == row.mtime_ns


def _is_due(row: KnownImage, retry_failed: bool) -> bool:
    if row.state != ImageState.FAILED:
        return False
    return retry_failed or row.reason_code == UnreadableSource.code
