"""Search: one question or several, as JSON or with files."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from api.access import MAY_READ
from api.questions import Uploads, over_limit, read_question, to_request
from api.schemas.basics import CollectionPath, ImageIdPath, WhereQuery
from api.schemas.search import Answer, Answers, Question, answer_document
from api.service import TheService
from search.request import IdTerm
from search.rerank.registry import parse_chain

router = APIRouter(prefix="/v1/collections/{collection}", tags=["search"])

_EXAMPLES = {
    "words": {"summary": "By words", "value": {"terms": [{"text": "a red bicycle"}], "k": 10}},
    "stored": {
        "summary": "More like a stored image, less of words",
        "value": {"terms": [{"id": 1}, {"text": "people", "weight": -0.5}]},
    },
    "filtered": {
        "summary": "Filtered and re-ranked",
        "value": {"terms": [{"id": 1}], "where": "width:100..", "rerank": ["qe"]},
    },
    "many": {
        "summary": "Several questions at once",
        "value": {"queries": [{"terms": [{"text": "red"}]}, {"terms": [{"text": "blue"}]}]},
    },
}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/Question"},
                    {"$ref": "#/components/schemas/Questions"},
                ]
            },
            "examples": _EXAMPLES,
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Query pictures.",
                    },
                    "request": {
                        "type": "string",
                        "description": 'A Question as JSON; a term {"upload": 0} names the '
                        "first picture. Without it, uploads are what is looked for.",
                    },
                    "text": {"type": "string", "description": "Words (without `request`)."},
                    "not": {"type": "string", "description": "Less of these words."},
                    "k": {"type": "integer", "minimum": 1},
                    "where": {"type": "string"},
                    "rerank": {"type": "string", "description": "Names, comma-separated."},
                },
            }
        },
    },
}


@router.post(
    "/search",
    summary="Search",
    response_model=Answer | Answers,
    openapi_extra={"requestBody": _BODY},
    dependencies=[MAY_READ],
)
async def search(collection: CollectionPath, request: Request, service: TheService) -> Response:
    """The images that are nearest to what is asked, best first.

    Words, pictures, stored images and vectors may be mixed and weighed; a negative weight moves
    away. A body with `queries` asks several questions and gets `answers` in their order.
    """
    asked, uploads = await read_question(request)
    if isinstance(asked, Question):
        response = await service.search(collection, await to_request(asked, uploads, service))
        return _json(answer_document(response))
    over_limit("queries", len(asked.queries), service.settings.max_queries, "send fewer at once")
    requests = [await to_request(each, uploads, service) for each in asked.queries]
    found = await asyncio.gather(*(service.search(collection, each) for each in requests))
    return _json(Answers(answers=[answer_document(response) for response in found]))


@router.get("/images/{image_id}/similar", summary="More like a stored image", tags=["images"],
            response_model=Answer, dependencies=[MAY_READ])  # fmt: skip
async def similar(
    collection: CollectionPath,
    image_id: ImageIdPath,
    service: TheService,
    k: Annotated[int, Query(ge=1, description="Answers wanted.")] = 20,
    where: WhereQuery = None,
    space: Annotated[str | None, Query(max_length=500)] = None,
    rerank: Annotated[str, Query(max_length=200, description="Names, comma-separated.")] = "",
    max_false: Annotated[float | None, Query(gt=0, lt=1)] = None,
    after: Annotated[str | None, Query(max_length=1000)] = None,
    fusion: Literal["evidence", "rank", "none"] = "evidence",
) -> Response:
    """The same as a search with this image as its only term."""
    asked = Question(
        k=k, where=where, space=space, max_false=max_false, after=after, fusion=fusion,
        rerank=list(parse_chain(rerank)),
    )  # fmt: skip
    request = await to_request(asked, Uploads(), service, extra_terms=[IdTerm(image_id)])
    return _json(answer_document(await service.search(collection, request)))


def _json(document: Answer | Answers) -> Response:
    """Written by pydantic directly: answers are the hot path."""
    return Response(document.model_dump_json(), media_type="application/json")
