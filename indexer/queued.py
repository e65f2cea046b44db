"""The write side in steps, for workers: each step can be repeated, and none holds the whole run.

scan → pieces of images by reference → embed (a transaction per piece) → gaps of further spaces →
publish. What links the steps is the caller's ledger; nothing here knows of queues.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from indexer.items import Lacking, Piece, Unchanged, Wanted
from indexer.limits import source_limits
from indexer.pipeline import Workshop
from indexer.plan import SeenUris, plan, sweep
from indexer.progress import Progress
from indexer.publish import needs_publish
from indexer.references import Packed, Remaining, UriSource, pack_reference
from indexer.service import Indexer, IndexRequest
from indexer.sources import SourceLimits
from indexer.sources.uris import absolute
from indexer.sources.web import is_url
from likeness.catalog.records import Collection, Space, SpaceState
from likeness.encoders.interface import Encoder

_HAND_OUT_AFTER_S = 2.0


def request_document(request: IndexRequest) -> dict[str, Any]:
    """A request as JSON values, its paths absolute: it will be carried out elsewhere."""
    document = asdict(request)
    document["sources"] = [_whole(source) for source in request.sources]
    document["lists"] = [_whole(str(path)) for path in request.lists]
    return document


def request_from(document: Mapping[str, Any]) -> IndexRequest:
    """What `request_document` was given; keys that are not a request's are left alone."""
    names = IndexRequest.__dataclass_fields__
    known = {name: value for name, value in document.items() if name in names}
    for name in ("sources", "include", "exclude"):
        known[name] = tuple(known.get(name, ()))
    known["lists"] = tuple(Path(path) for path in known.get("lists", ()))
    return IndexRequest(**known)


class QueuedIndexer(Indexer):
    """The steps. Encoders and decoders stay warm from one piece to the next; close it."""

    _workshop: Workshop | None = None
    _workshop_of: tuple[tuple[int, str], ...] = ()

    def close(self) -> None:
        """End the decoder processes."""
        if self._workshop is not None:
            self._workshop.__exit__(None, None, None)
            self._workshop = None

    @property
    def limits(self) -> SourceLimits:
        """What reading an image may cost."""
        return self._source_limits()

    def prepare(self, request: IndexRequest, progress: Progress) -> Collection:
        """The collection has a space, of the encoder that was asked for or else set."""
        collection = self._catalog.create_collection(request.collection)
        self._encoders(collection, request.encoder, progress)
        return collection

    def scan(
        self,
        request: IndexRequest,
        *,
        handed_out: SeenUris,
        hand_out: Callable[[list[Packed]], None],
        piece_images: int,
        progress: Progress,
        stop: threading.Event,
    ) -> bool:
        """Hand out what has to be read, in pieces; mark what vanished. True unless stopped.

        handed_out: URIs that an earlier attempt has handed out; they are not again.
        Raises SourceError when a source cannot be opened.
        """
        collection = self._catalog.create_collection(request.collection)
        with ExitStack() as opened:
            sources = self._open(request, opened)
            seen = SeenUris()
            for source in sources:
                remaining = Remaining(source, handed_out, seen)
                found = plan(
                    remaining,
                    self._catalog,
                    collection.id,
                    seen=seen,
                    progress=progress,
                    retry_failed=request.retry_failed,
                    stop=stop,
                )
                for page in _pages(found, piece_images):
                    hand_out(page)
                progress.add(scanned=remaining.hidden)
            if stop.is_set():
                return False
            for source in sources:
                sweep(
                    source,
                    self._catalog,
                    collection.id,
                    seen=seen,
                    progress=progress,
                    prune=request.prune,
                )
        progress.scan_done = True
        return True

    def embed_pieces(
        self,
        collection_name: str,
        pieces: Iterable[Piece],
        *,
        restore: bool,
        space_id: int | None,
        progress: Progress,
        named: Sequence[str] = (),
    ) -> None:
        """Read, decode, embed and settle pieces in their order, several in hand at once.

        space_id: the only space to embed for, None for all that the collection is served from.
        named: the sources that the operator named, whose hosts may be private ones.
        What of a piece was not settled when this raises is as if it had not been begun.
        """
        collection = self._catalog.collection(collection_name)
        spaces = [
            space
            for space in self._catalog.spaces(collection.id)
            if space.id == space_id or (space_id is None and space.state is not SpaceState.RETIRED)
        ]
        pipeline = self._pipeline(
            collection,
            lambda: self._encoders_of(spaces),
            progress,
            threading.Event(),
            restore=restore,
            workshop=self._warm_workshop(spaces),
        )
        source = UriSource(source_limits(self._runtime.settings, named=named))
        try:
            pipeline.run_pieces(pieces, source)
        finally:
            source.close()

    def gaps(self, collection_name: str, *, piece_images: int) -> Iterator[dict[str, Any]]:
        """Ranges of images that lack an embedding in a space, as `lacking` takes them."""
        collection = self._catalog.collection(collection_name)
        for space in self._catalog.spaces(collection.id):
            after = 0
            while space.state is not SpaceState.RETIRED and (
                page := self._catalog.missing_in_space(collection.id, space.id, after, piece_images)
            ):
                last = page[-1].image_id
                yield {"space": space.id, "after": after, "last": last, "images": len(page)}
                after = last

    def lacking(self, collection_name: str, gap: Mapping[str, Any]) -> list[Lacking]:
        """The images of a range that lack an embedding in its space now."""
        collection = self._catalog.collection(collection_name)
        page = self._catalog.missing_in_space(
            collection.id, gap["space"], gap["after"], gap["images"]
        )
        return [Lacking(image) for image in page if image.image_id <= gap["last"]]

    def publish_due(self, collection_name: str) -> list[str]:
        """Every space whose index has fallen behind has a new one; their names."""
        collection = self._catalog.collection(collection_name)
        return [
            self._publish(space).name
            for space in self._catalog.spaces(collection.id)
            if self.is_behind(space, others_publish=False)
        ]

    def publish_space(self, collection_name: str, space_id: int) -> str | None:
        """The space has a new index, if it still needs one; its name then."""
        collection = self._catalog.collection(collection_name)
        for space in self._catalog.spaces(collection.id):
            if space.id == space_id and self.is_behind(space, others_publish=False):
                return self._publish(space).name
        return None

    def is_behind(self, space: Space, *, others_publish: bool) -> bool:
        """See `needs_publish`."""
        directory = self._runtime.index_dir(space)
        return needs_publish(self._catalog, space, directory, others_publish=others_publish)

    def _encoders_of(self, spaces: Iterable[Space]) -> dict[int, Encoder]:
        return {space.id: self._runtime.encoder_of(space) for space in spaces}

    def _warm_workshop(self, spaces: list[Space]) -> Workshop:
        wanted = tuple((space.id, space.fingerprint) for space in spaces)
        if self._workshop is None or self._workshop_of != wanted:
            self.close()
            self._workshop = Workshop(lambda: self._encoders_of(spaces), self._options())
            self._workshop.__enter__()
            self._workshop_of = wanted
        return self._workshop


def _pages(found: Iterable[Wanted | Unchanged], size: int) -> Iterator[list[Packed]]:
    """Pieces of up to `size`; smaller where a source is slow, so that workers need not wait."""
    page: list[Packed] = []
    since = time.monotonic()
    for item in found:
        if not page:
            since = time.monotonic()
        page.append(pack_reference(item))
        if len(page) >= size or time.monotonic() - since >= _HAND_OUT_AFTER_S:
            yield page
            page = []
    if page:
        yield page


def _whole(source: str) -> str:
    return source if is_url(source) or "://" in source else absolute(Path(source).expanduser())
