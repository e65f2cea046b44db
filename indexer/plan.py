"""The scan diff: what a source holds against what the catalog knows of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from indexer.items import Wanted
from indexer.progress import Progress
from indexer.sources import Source, SourceItem, SourceProblem
from likeness.catalog import Catalog
from likeness.catalog.records import KnownImage
from likeness.errors import UnreadableSource
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


def plan(
    source: Source,
    catalog: Catalog,
    collection_id: int,
    *,
    seen: SeenUris,
    progress: Progress,
    retry_failed: bool,
    stop: threading.Event,
) -> Iterator[Wanted]:
    """Yield what has to be read, in scan order; count the rest as kept.

    An image is kept when its size and modification time are those of its live row. One that
    failed is read again when asked, or when it could not be read at all the last time.
    """
    for page in pages(_images(source, seen, progress, stop), _PAGE):
        known = catalog.known_by_uri(collection_id, [item.uri for item in page])
        new_fields: dict[int, SourceItem] = {}
        for item in page:
            row = known.get(item.uri)
            if row is None:
                yield Wanted(item)
            elif _is_unchanged(item, row) and not _is_due(row, retry_failed):
                progress.add(kept=1)
                if item.fields:
                    new_fields[row.image_id] = item
            else:
                yield Wanted(item, row.image_id, row.sha256)
        if new_fields:
            catalog.set_fields(
                collection_id, {image_id: item.fields for image_id, item in new_fields.items()}
            )


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

    Only what the source answers for can vanish: nothing outside its root, nothing that its
    patterns leave out, nothing under a folder that could not be read. A root in which nothing at
    all is found is taken for an unmounted disk and left alone, unless `prune`.
    """
    if source.root is None:
        return
    gone: list[int] = []
    live = 0
    after: str | None = None
    while page := catalog.live_uris(collection_id, source.root, after, _PAGE):
        live += len(page)
        gone.extend(
            image_id
            for image_id, uri, path in page
            if uri not in seen and source.covers(uri, path) and not source.exists(uri)
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


def _images(
    source: Source, seen: SeenUris, progress: Progress, stop: threading.Event
) -> Iterator[SourceItem]:
    for found in source.scan():
        if stop.is_set():
            return
        if isinstance(found, SourceProblem):
            progress.problem(found.path, found.code, found.reason, counted_as="problems")
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
