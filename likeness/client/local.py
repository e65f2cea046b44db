"""The client that works in this process."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from PIL import Image as Pixels

from api.encoders import WarmEncoders
from api.schemas.check import CheckedImage, checked_document
from api.schemas.images import Image, image_document
from api.schemas.search import answer_document
from api.schemas.vectors import explanation_document
from api.sorting.finding import Finding
from indexer.limits import source_limits
from indexer.progress import IndexReport, Progress
from indexer.service import Indexer, IndexRequest
from indexer.sources import read_uri
from indexer.uploads import UploadIndexer, UploadStore
from likeness.catalog.records import REMOVED, ImageRow
from likeness.catalog.where import parse_where
from likeness.client.asking import (
    file_bytes,
    ids_of,
    is_url,
    options_of,
    pictures_of,
    sources_of,
    wanted,
)
from likeness.client.interface import AddReport, Picture, Source
from likeness.client.results import Explained, Results, thumbnail_side
from likeness.errors import ImageError, ImageNotFound, QueryError
from likeness.imaging.thumbnails import thumbnail
from likeness.runtime import Runtime
from likeness.types import ImageState, RgbImage
from search.duplicates.relations import Relation
from search.explain import explain
from search.opening import open_searcher
from search.overlay import draw
from search.request import IdTerm, ImageTerm, SearchRequest, Term, TextTerm
from search.route import choose_space
from search.service import Searcher

_PAGE = 500


class LocalClient:
    """See `Client`. Owns the runtime."""

    def __init__(self, runtime: Runtime, collection: str) -> None:
        self.collection = collection
        self._runtime = runtime
        self._limits = source_limits(runtime.settings)
        self._opened: Searcher | None = None
        self._finding: Finding | None = None

    def search(
        self,
        text: str | Sequence[str] = (),
        *,
        image: Picture | Sequence[Picture] = (),
        image_id: int | Sequence[int] = (),
        without: str | Sequence[str] = (),
        without_image: Picture | Sequence[Picture] = (),
        without_id: int | Sequence[int] = (),
        collection: str | None = None,
        **options: Any,
    ) -> Results:
        asked = wanted(text, image, image_id, without, without_image, without_id)
        terms: list[Term] = [TextTerm(each, weight) for each, weight in asked.texts]
        shown: list[RgbImage] = []
        for picture, weight in asked.pictures:
            pixels = self._pixels(picture)
            terms.append(ImageTerm(pixels, weight=weight))
            if weight > 0:
                shown.append(pixels)
        terms += [IdTerm(each, weight) for each, weight in asked.ids]
        request = SearchRequest(tuple(terms), **asdict(options_of(options)))
        name = collection or self.collection
        response = self._searcher.search(name, request)
        rows = {hit.image.id: hit.image for hit in response.hits}
        return Results(
            answer_document(response),
            lambda each: self._thumbnail(rows[each]),
            words=[each for each, weight in asked.texts if weight > 0],
            without_words=[each for each, weight in asked.texts if weight < 0],
            images=shown,
        )

    def add(
        self, sources: Source | Sequence[Source], *, collection: str | None = None
    ) -> AddReport:
        name = collection or self.collection
        given = sources_of(sources)
        named = [str(each) for each in given if not isinstance(each, bytes)]
        reports = []
        stop = threading.Event()
        if named:
            request = IndexRequest(name, sources=named, restore=True)
            reports.append(Indexer(self._runtime).index(request, Progress(), stop))
        if len(named) < len(given):
            progress = Progress()
            self._runtime.catalog.create_collection(name)
            store = UploadStore(self._runtime.settings.uploads_root)
            uploads = []
            for each in given:
                if isinstance(each, bytes):
                    try:
                        uploads.append(store.keep(each, "upload"))
                    except ImageError as error:
                        progress.problem(error.name, error.code, str(error), counted_as="failed")
            reports.append(UploadIndexer(self._runtime).add(name, uploads, progress, stop))
        return _summed(reports)

    def remove(
        self,
        image_ids: int | Sequence[int] = (),
        *,
        where: str | None = None,
        collection: str | None = None,
    ) -> int:
        name = collection or self.collection
        catalog = self._runtime.catalog
        collection_id = catalog.collection(name).id
        chosen = ids_of(image_ids)
        if bool(chosen) == bool(where):
            raise QueryError("name the images to remove by id, or by where, but not by both")
        if where:
            chosen = catalog.filter_ids(collection_id, parse_where(where)).tolist()
        known = catalog.images(collection_id, chosen)
        for image_id in chosen:
            if image_id not in known:
                raise ImageNotFound(image_id, name)
        return catalog.mark_gone(collection_id, chosen, reason_code=REMOVED)

    def images(
        self,
        *,
        where: str | None = None,
        state: str = "ready",
        limit: int | None = None,
        collection: str | None = None,
    ) -> Iterator[Image]:
        catalog = self._runtime.catalog
        collection_id = catalog.collection(collection or self.collection).id
        condition = parse_where(where) if where else None
        after, left = 0, limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = catalog.list_images(
                collection_id, where=condition, state=ImageState(state), after_id=after, limit=size
            )
            yield from map(image_document, page)
            if len(page) < size:
                return
            after = page[-1].id
            left = None if left is None else left - len(page)

    def explain(
        self,
        image_id: int,
        *,
        image: Picture | None = None,
        query_id: int | None = None,
        space: str | None = None,
        collection: str | None = None,
    ) -> Explained:
        if (image is None) == (query_id is None):
            raise QueryError("give the query as image or as query_id, one of them")
        name = collection or self.collection
        catalog = self._runtime.catalog
        collection_id = catalog.collection(name).id

        def stored(number: int) -> RgbImage:
            row = catalog.images(collection_id, [number]).get(number)
            if row is None:
                raise ImageNotFound(number, name)
            return self._runtime.load_image(self._read(row), row.path)

        candidate = stored(image_id)
        query = stored(query_id) if query_id is not None else self._pixels(image or b"")
        request = SearchRequest((IdTerm(image_id),), space=space)
        chosen = choose_space(request, name, catalog.spaces(collection_id))
        found = explain(self._runtime.encoder_of(chosen), query, candidate)

        def picture() -> bytes:
            buffer = io.BytesIO()
            Pixels.fromarray(draw(found, query, candidate)).save(buffer, "PNG")
            return buffer.getvalue()

        return Explained(explanation_document(found, image_id, chosen.encoder), picture)

    def check(
        self,
        images: Picture | Sequence[Picture],
        *,
        least: str = "edited-copy",
        collection: str | None = None,
    ) -> list[CheckedImage]:
        known = self._runtime.catalog.collection(collection or self.collection)
        if self._finding is None:
            self._finding = Finding(self._runtime, WarmEncoders(self._runtime))
        files = [file_bytes(each) for each in pictures_of(images)]
        if least not in list(Relation)[:-1]:
            raise QueryError(f"least: {least!r} is none of {', '.join(list(Relation)[:-1])}")
        found = self._finding.check(known, files, least=Relation(least), limit=10, encoder=None)
        return [checked_document(each) for each in found]

    def close(self) -> None:
        if self._finding is not None:
            self._finding.close()
            self._finding = None
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _searcher(self) -> Searcher:
        if self._opened is None:
            self._opened = open_searcher(
                self._runtime, read_uri=lambda uri: read_uri(uri, limits=self._limits)
            )
        return self._opened

    def _read(self, row: ImageRow) -> bytes:
        return read_uri(row.uri, limits=self._limits)

    def _pixels(self, picture: Picture) -> RgbImage:
        if is_url(picture):
            return self._runtime.load_image(
                read_uri(str(picture), limits=self._limits), str(picture)
            )
        if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3:
            return picture
        data, name = file_bytes(picture)
        return self._runtime.load_image(data, name)

    def _thumbnail(self, row: ImageRow) -> bytes:
        return thumbnail(self._runtime.load_image(self._read(row), row.path), thumbnail_side())


def _summed(reports: Sequence[IndexReport]) -> AddReport:
    return AddReport(
        added=sum(r.counts.stored + r.counts.linked + r.counts.moved for r in reports),
        known=sum(r.counts.kept for r in reports),
        failed=sum(r.counts.failed for r in reports),
        problems=tuple((p.name, p.code, p.reason) for r in reports for p in r.problems),
    )
