"""From what came over the wire to search requests: limits, pictures, defaults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from starlette.datastructures import UploadFile
from starlette.requests import Request

from api.errors import BadRequest, OverLimit
from api.schemas.search import (
    IdAsked,
    ImageAsked,
    Question,
    Questions,
    TermAsked,
    TextAsked,
    UploadAsked,
    UrlAsked,
    VectorAsked,
)
from api.schemas.vectors import Items
from api.service import Service
from likeness.errors import QueryError
from likeness.settings import Settings
from search.request import Crop, IdTerm, ImageTerm, SearchRequest, Term, TextTerm, VectorTerm

_PARTS = 64
_JSON_PART_BYTES = 4 * 2**20
_QUESTION = TypeAdapter(Question)


class Uploads:
    """The `image` parts of a multipart request: bytes and names, in order."""

    def __init__(self, files: Sequence[tuple[bytes, str]] = ()) -> None:
        self._files = list(files)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> tuple[bytes, str]:
        if number >= len(self._files):
            raise QueryError(
                f"a term asks for upload {number}, and the request carries {len(self._files)} "
                "`image` parts; they are counted from 0"
            )
        return self._files[number]


async def read_question(request: Request) -> tuple[Question | Questions, Uploads]:
    """What a search request asks, in whichever of the two forms.

    JSON: a `Question`, or `Questions`. Multipart: `image` parts, and a `request` part with the
    JSON; without that, its other parts are fields of the question. Uploads that no term names are
    terms of weight 1. Raises BadRequest, ValidationError.
    """
    kind = content_kind(request)
    if kind == "multipart/form-data":
        return await _read_form(request)
    if kind not in ("application/json", ""):
        raise BadRequest(f"a search is application/json or multipart/form-data, not {kind[:100]!r}")
    body = await request.body()
    if is_many(body):
        return Questions.model_validate_json(body), Uploads()
    return _QUESTION.validate_json(body), Uploads()


def content_kind(request: Request) -> str:
    """The media type of a request's body, without parameters; empty when it says nothing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_many(body: bytes) -> bool:
    """Whether JSON holds `queries`; told without reading it twice where it plainly does not."""
    return b'"queries"' in body[:200]


async def _read_form(request: Request) -> tuple[Question, Uploads]:
    fields, uploads = await _parts(request, _PARTS)
    question = _from_fields(fields)
    if not any(isinstance(term, UploadAsked) for term in question.terms):
        added = [UploadAsked(upload=number) for number in range(len(uploads))]
        question = question.model_copy(update={"terms": [*question.terms, *added]})
    return question, uploads


async def read_items(request: Request, settings: Settings) -> tuple[Items, Uploads]:
    """Items, as JSON or as a form whose uploads are items when no item names them.

    Raises BadRequest, ValidationError.
    """
    kind = content_kind(request)
    if kind != "multipart/form-data":
        if kind not in ("application/json", ""):
            raise BadRequest(f"items come as application/json or multipart, not {kind[:100]!r}")
        return Items.model_validate_json(await request.body()), Uploads()
    fields, uploads = await _parts(request, settings.max_items)
    if set(fields) - {"request"} or len(fields.get("request", [])) > 1:
        raise BadRequest("beside `image` parts there is one `request` part at most")
    asked = Items.model_validate_json(fields["request"][0]) if fields else Items()
    if not any(isinstance(item, UploadAsked) for item in asked.items):
        added = [UploadAsked(upload=number) for number in range(len(uploads))]
        asked = asked.model_copy(update={"items": [*asked.items, *added]})
    return asked, uploads


async def read_files(request: Request, most: int) -> list[tuple[bytes, str]]:
    """The `image` parts of a form that holds nothing else: bytes and names. Raises BadRequest."""
    fields, uploads = await _parts(request, most)
    if fields:
        raise BadRequest(f"part {next(iter(fields))[:50]!r} is not known; pictures are `image`")
    return [uploads[number] for number in range(len(uploads))]


async def _parts(request: Request, max_files: int) -> tuple[dict[str, list[str]], Uploads]:
    """The fields of a form by name, and its `image` parts."""
    files: list[tuple[bytes, str]] = []
    fields: dict[str, list[str]] = {}
    async with request.form(
        max_files=max_files, max_fields=_PARTS, max_part_size=_JSON_PART_BYTES
    ) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "image":
                    raise BadRequest(f"there is a file in part {name[:50]!r}; files are `image`")
                files.append((await value.read(), value.filename or "the uploaded image"))
            else:
                fields.setdefault(name, []).append(value)
    return fields, Uploads(files)


def _from_fields(fields: dict[str, list[str]]) -> Question:
    if "request" in fields:
        if len(fields) > 1 or len(fields["request"]) > 1:
            raise BadRequest("beside a `request` part there are only `image` parts")
        return _QUESTION.validate_json(fields["request"][0])
    document: dict[str, Any] = {"terms": []}
    for name, values in fields.items():
        if name in ("text", "not"):
            weight = 1.0 if name == "text" else -0.5
            document["terms"] += [{"text": value, "weight": weight} for value in values if value]
        elif name == "rerank":
            document["rerank"] = [each for value in values for each in value.split(",") if each]
        elif name == "terms":
            raise BadRequest("terms go into a `request` part, as JSON")
        elif len(values) > 1:
            raise BadRequest(f"part {name[:50]!r} comes {len(values)} times")
        else:
            document[name] = values[0]
    return _QUESTION.validate_python(document, strict=False)


async def to_request(
    asked: Question, uploads: Uploads, service: Service, *, extra_terms: Sequence[Term] = ()
) -> SearchRequest:
    """The question as search takes it, its pictures fetched and decoded.

    Raises OverLimit, UrlsAreOff, ImageError, QueryError.
    """
    _check(asked, service.settings)
    terms = await asyncio.gather(*(to_term(term, uploads, service) for term in asked.terms))
    return SearchRequest(
        (*extra_terms, *terms),
        k=asked.k,
        offset=asked.offset,
        where=asked.where,
        after=asked.after,
        space=asked.space,
        fusion=asked.fusion,
        rerank=tuple(asked.rerank),
        candidates=asked.candidates,
        max_false=asked.max_false,
        keep_queried=asked.keep_queried,
    )


async def to_term(term: TermAsked, uploads: Uploads, service: Service) -> Term:
    """A term as search takes it, its picture fetched and decoded.

    Raises OverLimit, UrlsAreOff, ImageError, QueryError.
    """
    match term:
        case TextAsked():
            most = service.settings.max_text
            over_limit("characters of a text", len(term.text), most, "shorten it")
            return TextTerm(term.text, term.weight)
        case IdAsked():
            return IdTerm(term.id, term.weight)
        case VectorAsked():
            vector = np.asarray(term.vector, dtype=np.float64)
            return VectorTerm(vector, term.fingerprint, term.weight)
        case ImageAsked():
            return await _picture(term.image, "the query image", term.weight, term.crop, service)
        case UploadAsked():
            data, name = uploads[term.upload]
            return await _picture(data, name, term.weight, term.crop, service)
        case UrlAsked():
            data = await service.pictures.fetched(term.url)
            return await _picture(data, term.url, term.weight, term.crop, service)


async def _picture(
    data: bytes, name: str, weight: float, crop: Crop | None, service: Service
) -> ImageTerm:
    return ImageTerm(await service.pictures.decoded(data, name), name, weight, crop)


def _check(asked: Question, settings: Settings) -> None:
    over_limit("k", asked.k, settings.max_k, "page with `after`")
    over_limit("offset", asked.offset, settings.max_offset, "page with `after`")
    over_limit("terms", len(asked.terms), settings.max_terms, "use fewer")


def over_limit(what: str, given: int, limit: int, remedy: str) -> None:
    """Raise OverLimit when more is given than one request may ask for."""
    if given > limit:
        raise OverLimit(
            f"{what}: {given:,} is more than the limit of {limit:,}; {remedy}",
            extra={"what": what, "given": given, "limit": limit},
        )
