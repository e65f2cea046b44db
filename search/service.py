"""Search: requests in, ranked answers out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Collection, ImageRow, Space
from likeness.encoders.interface import Encoder
from likeness.types import Embeddings, ImageIds, ImageState
from likeness.vectors.idset import IdSet
from search.compose import LoadImage, compose
from search.filters import Filters
from search.request import IdTerm, SearchRequest
from search.response import SearchHit, SearchResponse
from search.route import choose_space
from search.spaces import SpaceReader
from search.view import View

_ATTEMPTS = 3
"""How often a query is asked again because a hit died between the index and the catalog."""

Found: TypeAlias = list[tuple[int, float]]
"""Image ids and scores of one request, best first."""


@dataclass(frozen=True, slots=True)
class _Recalled:
    """What one look at the index found: of each request, in order, its page of hits."""

    view: View
    allowed: IdSet | None
    found: list[Found]
    images: dict[int, ImageRow]


class Searcher:
    """Searches collections. Thread-safe; keeps spaces open. A context manager."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        index_dir: Callable[[Space], Path],
        encoder_of: Callable[[Space], Encoder],
        load_image: LoadImage,
    ) -> None:
        """index_dir: where a space's snapshots lie. encoder_of: the encoder that made a space.

        load_image: decodes the bytes of a query picture; it must survive hostile ones.
        """
        self._catalog = catalog
        self._index_dir, self._encoder_of, self._load_image = index_dir, encoder_of, load_image
        self._filters = Filters(catalog)
        self._readers: dict[int, SpaceReader] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the spaces; waits for an index that is being opened."""
        with self._lock:
            readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            reader.close()

    def reader(self, space: Space) -> SpaceReader:
        """The one reader of this space in this process."""
        with self._lock:
            known = self._readers.get(space.id)
            if known is None:
                known = SpaceReader(self._catalog, space, self._index_dir(space))
                self._readers[space.id] = known
            return known

    def search(self, collection: str, request: SearchRequest) -> SearchResponse:
        """The k images that are nearest to the request, best first; k whenever k match.

        Ties are broken by image id. Raises CollectionNotFound, QueryError (WhereError among
        them), ImageNotFound, NoTextTower, SpaceMismatch, ImageError for a picture that cannot be
        used, WeightsError, CatalogError.
        """
        return self.search_many(collection, [request])[0]

    def search_many(
        self, collection: str, requests: Sequence[SearchRequest]
    ) -> list[SearchResponse]:
        """`search` for each request, in order; those of one space are encoded and asked together.

        An answer is the same as if its request had come alone. Raises as `search` does, for the
        first request that cannot be answered.
        """
        known = self._catalog.collection(collection)
        spaces = self._catalog.spaces(known.id)
        groups: dict[tuple[int, str | None], list[int]] = {}
        chosen = [choose_space(request, collection, spaces) for request in requests]
        for at, (request, space) in enumerate(zip(requests, chosen, strict=True)):
            groups.setdefault((space.id, request.where), []).append(at)
        answers: dict[int, SearchResponse] = {}
        for members in groups.values():
            asked = [requests[at] for at in members]
            group = self._answer(known, chosen[members[0]], asked)
            answers.update(zip(members, group, strict=True))
        return [answers[at] for at in range(len(requests))]

    def _answer(
        self, collection: Collection, space: Space, requests: Sequence[SearchRequest]
    ) -> list[SearchResponse]:
        """Requests with the same filter, asked of one space."""
        reader, clock = self.reader(space), _Clock()
        with clock.stage("encode"):
            queries = compose(
                requests,
                space,
                collection.name,
                reader.view(),
                lambda: self._encoder_of(space),
                self._load_image,
            )
        recalled = self._recall(reader, requests, queries, clock)
        matched = recalled.view.matched(recalled.allowed)
        return [
            SearchResponse(
                hits=tuple(
                    SearchHit(rank, score, recalled.images[image_id])
                    for rank, (image_id, score) in enumerate(found, request.offset + 1)
                ),
                collection=collection.name,
                encoder=space.encoder,
                fingerprint=space.fingerprint,
                searched=len(recalled.view),
                matched=matched,
                k=request.k,
                offset=request.offset,
                revision=recalled.view.revision,
                snapshot=recalled.view.snapshot,
                notices=tuple(reader.notices),
                timings_ms=clock.spent_ms,
            )
            for request, found in zip(requests, recalled.found, strict=True)
        ]

    def _recall(
        self,
        reader: SpaceReader,
        requests: Sequence[SearchRequest],
        queries: Embeddings,
        clock: _Clock,
    ) -> _Recalled:
        """Hits that the catalog, asked after the index, still calls ready."""
        hidden = [_hidden(request) for request in requests]
        deepest = max(
            request.offset + request.k + len(ids)
            for request, ids in zip(requests, hidden, strict=True)
        )
        for attempt in range(_ATTEMPTS):
            with clock.stage("filter"):
                allowed, view = self._filters.resolve(requests[0].where, reader)
            with clock.stage("recall"):
                near = view.search(queries, min(deepest, len(view)), allowed=allowed)
                found = [
                    _page(*near.row(row), request, hidden[row])
                    for row, request in enumerate(requests)
                ]
            with clock.stage("facts"):
                wanted = sorted({image_id for page in found for image_id, _ in page})
                images = self._catalog.images(reader.space.collection_id, wanted)
            dead = {i for i in wanted if i not in images or not _is_ready(images[i])}
            if not dead:
                break
            if attempt == _ATTEMPTS - 1:  # commits faster than we can look: a shorter page
                found = [[hit for hit in page if hit[0] not in dead] for page in found]
        return _Recalled(view, allowed, found, images)


def _hidden(request: SearchRequest) -> frozenset[int]:
    """Images that the request names and therefore does not ask for."""
    if request.keep_queried:
        return frozenset()
    return frozenset(term.image_id for term in request.terms if isinstance(term, IdTerm))


def _page(
    ids: ImageIds,
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    request: SearchRequest,
    hidden: frozenset[int],
) -> Found:
    shown = [hit for hit in zip(ids.tolist(), scores.tolist(), strict=True) if hit[0] not in hidden]
    return shown[request.offset : request.offset + request.k]


def _is_ready(image: ImageRow) -> bool:
    return image.state is ImageState.READY


class _Clock:
    """Adds up the milliseconds of named stages."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            spent = 1000 * (time.perf_counter() - begun)
            self.spent_ms[name] = self.spent_ms.get(name, 0.0) + spent
