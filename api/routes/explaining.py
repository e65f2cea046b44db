"""Why an image matched: as data, and as a picture."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from PIL import Image as Pixels
from starlette.concurrency import run_in_threadpool

from api.access import MAY_READ
from api.questions import read_question, to_term
from api.schemas.basics import LARGEST_ID, CollectionPath, ImageIdPath
from api.schemas.search import Question
from api.schemas.vectors import Explanation, explanation_document
from api.service import Service, TheService
from likeness.errors import QueryError
from likeness.types import RgbImage
from search.compose import pixels_of
from search.explain import explain
from search.overlay import draw
from search.request import IdTerm, ImageTerm, SearchRequest, Term
from search.route import choose_space

router = APIRouter(prefix="/v1/collections/{collection}/images/{image_id}", tags=["images"])

View = Annotated[
    Literal["document", "picture"],
    Query(description="`document`: JSON. `picture`: PNG of both images, side by side."),
]
SpaceQuery = Annotated[str | None, Query(max_length=500, description="Encoder to ask.")]
_PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
_OK: dict[int | str, dict[str, Any]] = {200: {"model": Explanation, "content": _PNG}}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "format": "binary"},
                    "request": {
                        "type": "string",
                        "description": "A Question with one picture among its terms.",
                    },
                },
            }
        },
        "application/json": {"schema": {"$ref": "#/components/schemas/Question"}},
    },
}


@router.get("/explain", summary="Why it matched a stored image", response_class=Response,
            responses=_OK, dependencies=[MAY_READ])  # fmt: skip
async def explain_stored(
    collection: CollectionPath,
    image_id: ImageIdPath,
    query_id: Annotated[int, Query(ge=0, le=LARGEST_ID, description="The image asked with.")],
    service: TheService,
    space: SpaceQuery = None,
    view: View = "document",
) -> Response:
    """The region that both share and how it is mapped, and where the encoder looked."""
    row = await run_in_threadpool(service.image, collection, query_id)
    query = await service.pictures.pixels(row)
    return await _explained(service, collection, image_id, query, space, view)


@router.post("/explain", summary="Why it matched a picture", response_class=Response,
             responses=_OK, openapi_extra={"requestBody": _BODY},
             dependencies=[MAY_READ])  # fmt: skip
async def explain_picture(
    collection: CollectionPath,
    image_id: ImageIdPath,
    request: Request,
    service: TheService,
    space: SpaceQuery = None,
    view: View = "document",
) -> Response:
    """The same for a picture that is not stored; the question's heaviest picture counts."""
    asked, uploads = await read_question(request)
    if not isinstance(asked, Question):
        raise QueryError("one question is explained at a time")
    terms = await asyncio.gather(*(to_term(term, uploads, service) for term in asked.terms))
    chosen = _heaviest(terms)
    if isinstance(chosen, IdTerm):
        row = await run_in_threadpool(service.image, collection, chosen.image_id)
        query = await service.pictures.pixels(row)
    else:
        query = pixels_of(chosen, service.pictures.load)
    return await _explained(service, collection, image_id, query, space or asked.space, view)


def _heaviest(terms: list[Term]) -> ImageTerm | IdTerm:
    pictures = [t for t in terms if isinstance(t, ImageTerm | IdTerm) and t.weight > 0]
    if not pictures:
        raise QueryError("there is no picture to compare with; words have no place in an image")
    return max(pictures, key=lambda term: term.weight)


async def _explained(
    service: Service,
    collection: str,
    image_id: int,
    query: RgbImage,
    space: str | None,
    view: str,
) -> Response:
    row = await run_in_threadpool(service.image, collection, image_id)
    candidate = await service.pictures.pixels(row)

    def work() -> tuple[bytes, str]:
        spaces = service.catalog.spaces(row.collection_id)
        chosen = choose_space(SearchRequest((IdTerm(image_id),), space=space), collection, spaces)
        found = explain(service.encoders.of(chosen), query, candidate)
        if view == "picture":
            buffer = io.BytesIO()
            Pixels.fromarray(draw(found, query, candidate)).save(buffer, "PNG")
            return buffer.getvalue(), "image/png"
        document = explanation_document(found, image_id, chosen.encoder)
        return document.model_dump_json().encode(), "application/json"

    data, media_type = await service.run_slow(work)
    return Response(data, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})
