"""Search: requests in, ranked answers out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Collection, ImageRow, Space
from likeness.encoders.interface import Encoder
from likeness.telemetry.tracing import span
from likeness.types import Embeddings, ImageState
from likeness.vectors.idset import IdSet
from search.calibration import Calibrations
from search.clock import Clock
from search.compose import LoadImage, compose
from search.contexts import Contexts
from search.filters import Filters
from search.graph.graph import NeighbourGraph
from search.paging import Page, Pager
from search.request import IdTerm, SearchRequest
from search.rerank.interface import Context
from search.response import SearchHit, SearchResponse
from search.route import choose_space, companions
from search.scores import FalseMatchModel
from search.spaces import SpaceReader
from search.view import View

_ATTEMPTS = 3
"""How often a query is asked again because a hit died between the index and the catalog."""


@dataclass(frozen=True, slots=True)
class _Recalled:
    """What one look at the indexes found: of each request, in order, its page of hits."""

    views: list[View]
    allowed: IdSet | None
    pages: list[Page]
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
        read_image: Callable[[ImageRow], bytes] | None = None,
        graph_of: Callable[[Space], NeighbourGraph | None] | None = None,
        index_server: str = "",
        index_device: str = "cpu",
    ) -> None:
        """index_dir: where a space's snapshots lie. encoder_of: the encoder that made a space.

        load_image: decodes the bytes of a query picture; it must survive hostile ones.
        read_image, graph_of: for re-rankers, see `search.contexts`. index_server, index_device:
        of the indexes, see `likeness.vectors.snapshot.open_snapshot`.
        """
        self._catalog = catalog
        self._index_dir, self._encoder_of, self._load_image = index_dir, encoder_of, load_image
        self._index_server, self._index_device = index_server, index_device
        self._filters = Filters(catalog)
        self._calibrations = Calibrations()
        self._contexts = Contexts(
            catalog,
            index_dir=index_dir,
            encoder_of=encoder_of,
            load_image=load_image,
            read_image=read_image,
            graph_of=graph_of,
        )
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
                known = SpaceReader(
                    self._catalog,
                    space,
                    self._index_dir(space),
                    server=self._index_server,
                    device=self._index_device,
                )
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
        with span("search", collection=collection, questions=len(requests)):
            return self._search_many(collection, requests)

    def _search_many(
        self, collection: str, requests: Sequence[SearchRequest]
    ) -> list[SearchResponse]:
        known = self._catalog.collection(collection)
        spaces = self._catalog.spaces(known.id)
        groups: dict[tuple[tuple[int, ...], str | None], list[int]] = {}
        chosen = [self._spaces_for(request, collection, spaces) for request in requests]
        for at, (request, asked) in enumerate(zip(requests, chosen, strict=True)):
            groups.setdefault((tuple(space.id for space in asked), request.where), []).append(at)
        answers: dict[int, SearchResponse] = {}
        for members in groups.values():
            group = self._answer(known, chosen[members[0]], [requests[at] for at in members])
            answers.update(zip(members, group, strict=True))
        return [answers[at] for at in range(len(requests))]

    def _spaces_for(
        self, request: SearchRequest, collection: str, spaces: Sequence[Space]
    ) -> list[Space]:
        """The leading space, and those that are fused with it: they hold every image named."""
        lead = choose_space(request, collection, spaces)
        named = np.array([t.image_id for t in request.terms if isinstance(t, IdTerm)], np.int64)
        return [
            lead,
            *(
                space
                for space in companions(request, lead, spaces)
                if len(view := self.reader(space).view())
                and len(view.vectors(named)[0]) == len(named)
            ),
        ]

    def _answer(
        self, collection: Collection, spaces: Sequence[Space], requests: Sequence[SearchRequest]
    ) -> list[SearchResponse]:
        """Requests with the same filter, asked of the same spaces."""
        readers, clock = [self.reader(space) for space in spaces], Clock()
        with clock.stage("encode"):
            queries = [
                compose(
                    requests,
                    reader.space,
                    collection.name,
                    reader.view(),
                    functools.partial(self._encoder_of, reader.space),
                    self._load_image,
                )
                for reader in readers
            ]
        recalled = self._recall(readers, requests, queries, clock)
        lead = recalled.views[0]
        matched = lead.matched(recalled.allowed)
        return [
            SearchResponse(
                hits=tuple(
                    SearchHit(rank, hit.score, recalled.images[hit.image_id], hit.p, hit.ranked_by)
                    for rank, hit in enumerate(page.hits, page.first)
                ),
                collection=collection.name,
                encoder=spaces[0].encoder,
                fingerprint=spaces[0].fingerprint,
                searched=len(lead),
                matched=matched,
                k=request.k,
                offset=page.first - 1,
                revision=lead.revision,
                snapshot=lead.snapshot,
                notices=tuple(notice for reader in readers for notice in reader.notices),
                timings_ms=clock.spent_ms,
                spaces=tuple(space.encoder for space in spaces),
                rerank=request.rerank,
                next_cursor=page.next_cursor,
            )
            for request, page in zip(requests, recalled.pages, strict=True)
        ]

    def _recall(
        self,
        readers: Sequence[SpaceReader],
        requests: Sequence[SearchRequest],
        queries: Sequence[Embeddings],
        clock: Clock,
    ) -> _Recalled:
        """Hits that the catalog, asked after the index, still calls ready."""
        collection_id = readers[0].space.collection_id
        for attempt in range(_ATTEMPTS):
            with clock.stage("filter"):
                allowed, view = self._filters.resolve(requests[0].where, readers[0])
                views = [view, *(reader.view() for reader in readers[1:])]
            models: list[FalseMatchModel | None] = [None] * len(views)
            if any(request.by_pictures for request in requests):
                with clock.stage("calibrate"):
                    models = [
                        self._calibrations.of(reader.space.id, view)
                        for reader, view in zip(readers, views, strict=True)
                    ]
            context_of = functools.partial(self._context_of, readers[0].space)
            pager = Pager(views, queries, allowed, models, context_of, clock)
            pages = pager.pages(requests)
            with clock.stage("facts"):
                wanted = sorted({hit.image_id for page in pages for hit in page.hits})
                images = self._catalog.images(collection_id, wanted)
            dead = {i for i in wanted if i not in images or not _is_ready(images[i])}
            if not dead:
                break
            if attempt == _ATTEMPTS - 1:  # commits faster than we can look: a shorter page
                pages = [page.without(dead) for page in pages]
        return _Recalled(views, allowed, pages, images)

    def _context_of(self, space: Space, request: SearchRequest) -> Context:
        return self._contexts.of(request, space)


def _is_ready(image: ImageRow) -> bool:
    return image.state is ImageState.READY
