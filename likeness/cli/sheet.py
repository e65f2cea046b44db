"""The contact sheet of a search: what was asked, and the answers as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from indexer.sources import SourceLimits, UriReader
from likeness.errors import ImageError
from likeness.imaging.contact_sheet import SheetHit, SheetRow, sheet_png
from likeness.runtime import Runtime
from likeness.types import RgbImage
from search.request import IdTerm, ImageTerm, SearchRequest, TextTerm
from search.response import SearchResponse


def search_sheet(
    runtime: Runtime, request: SearchRequest, response: SearchResponse, limits: SourceLimits
) -> bytes:
    """The request and its hits as the bytes of a PNG; pictures that vanished are left blank."""
    with UriReader(limits) as reader:
        hits = [
            SheetHit(
                hit.rank,
                hit.score,
                PurePath(hit.image.path).name,
                _read(runtime, reader, hit.image.uri, hit.image.path),
            )
            for hit in response.hits
        ]
        row = SheetRow(
            hits,
            words=list(_words(request, wanted=True)),
            images=list(_images(runtime, reader, request, response, wanted=True)),
            without_words=list(_words(request, wanted=False)),
            without_images=list(_images(runtime, reader, request, response, wanted=False)),
        )
    return sheet_png([row], title=f"{response.collection} · {response.encoder}")


def _words(request: SearchRequest, *, wanted: bool) -> Iterator[str]:
    for term in request.terms:
        if isinstance(term, TextTerm) and (term.weight > 0) == wanted:
            yield term.text


def _images(
    runtime: Runtime,
    reader: UriReader,
    request: SearchRequest,
    response: SearchResponse,
    *,
    wanted: bool,
) -> Iterator[RgbImage]:
    for term in request.terms:
        if (term.weight > 0) != wanted:
            continue
        if isinstance(term, ImageTerm):
            if isinstance(term.image, bytes):
                yield runtime.load_image(term.image, term.name)
            else:
                yield term.image
        elif isinstance(term, IdTerm):
            collection_id = runtime.catalog.collection(response.collection).id
            row = runtime.catalog.images(collection_id, [term.image_id])[term.image_id]
            image = _read(runtime, reader, row.uri, row.path)
            if image is not None:
                yield image


def _read(runtime: Runtime, reader: UriReader, uri: str, path: str) -> RgbImage | None:
    try:
        return runtime.load_image(reader.read(uri), path)
    except ImageError:
        return None
