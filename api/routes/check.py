"""Whether images are already in a collection, before they are added."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from api.access import MAY_READ
from api.errors import BadRequest
from api.questions import content_kind, read_files
from api.schemas.basics import CollectionPath
from api.schemas.check import CheckedList, checked_document
from api.schemas.duplicates import ShownRelation
from api.service import TheService
from api.sorting.service import TheSorting
from search.duplicates.relations import Relation

router = APIRouter(prefix="/v1/collections/{collection}", tags=["duplicates"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Files of pictures.",
                    }
                },
            }
        }
    },
}


@router.post(
    "/check",
    summary="Is it already there?",
    openapi_extra={"requestBody": _BODY},
    dependencies=[MAY_READ],
)
async def check(
    collection: CollectionPath,
    request: Request,
    service: TheService,
    sorting: TheSorting,
    least: Annotated[
        ShownRelation, Query(description="The loosest relation that counts as being there.")
    ] = "edited-copy",
    limit: Annotated[int, Query(ge=1, le=100, description="Matches of each, at most.")] = 10,
    encoder: Annotated[
        str | None, Query(max_length=500, description="Look in this space; default: the fitting.")
    ] = None,
) -> CheckedList:
    """Of each picture, whether the collection has it, how it is related and what proves it: a gate
    before adding. Nothing is stored."""
    known = await run_in_threadpool(service.collection, collection)
    if content_kind(request) != "multipart/form-data":
        raise BadRequest("pictures are checked as multipart/form-data with `image` parts")
    files = await read_files(request, service.settings.max_items)
    if not files:
        raise BadRequest("the form has no `image` parts")
    found = await service.run_slow(
        lambda: sorting.finding.check(
            known, files, least=Relation(least), limit=limit, encoder=encoder
        )
    )
    return CheckedList(images=[checked_document(each) for each in found])
