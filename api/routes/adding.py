"""Images into a collection, by upload or by URL."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api.access import MAY_WRITE
from api.errors import BadRequest
from api.ingest import Refused
from api.questions import content_kind, over_limit
from api.schemas.basics import CollectionPath
from api.schemas.jobs import AddedList, Job, UrlsToAdd, added_document, job_document
from api.service import Service, TheService
from indexer.uploads import Upload

router = APIRouter(prefix="/v1/collections/{collection}/images", tags=["images"])

_FIELDS = 16
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
        },
        "application/json": {"schema": {"$ref": "#/components/schemas/UrlsToAdd"}},
    },
}


@router.post(
    "",
    summary="Add images",
    response_model=AddedList,
    responses={202: {"model": Job, "description": "They will be added by this job."}},
    openapi_extra={"requestBody": _BODY},
    dependencies=[MAY_WRITE],
)
async def add_images(
    collection: CollectionPath,
    request: Request,
    service: TheService,
    wait: Annotated[
        bool | None,
        Query(description="Answer when all is done. Default: for uploads yes, for URLs no."),
    ] = None,
) -> Response:
    """Uploads are kept by the server under their hash, embedded and searchable when this answers.

    Sending an image again changes nothing; sending one that was removed brings it back. URLs are
    fetched through a guarded client, if the server's settings allow it at all.
    """
    await run_in_threadpool(service.collection, collection)
    if content_kind(request) == "application/json":
        asked = UrlsToAdd.model_validate_json(await request.body())
        over_limit("urls", len(asked.urls), service.settings.max_items, "send fewer at once")
        if not wait:
            job = await run_in_threadpool(service.ingest.fetch_later, collection, asked.urls)
            return _accepted(job_document(job))
        for url in asked.urls:
            service.pictures.check_url(url)
        items = await run_in_threadpool(service.ingest.fetch, asked.urls)
    else:
        items = await _kept(request, service)
        if wait is False:
            job = await run_in_threadpool(service.ingest.add_later, collection, items)
            return _accepted(job_document(job))
    outcomes = await service.ingest.add(collection, items)
    if not isinstance(outcomes, list):
        return _accepted(job_document(outcomes))
    return Response(added_document(outcomes).model_dump_json(), media_type="application/json")


async def _kept(request: Request, service: Service) -> list[Upload | Refused]:
    """The `image` parts of the body, on disk."""
    if content_kind(request) != "multipart/form-data":
        raise BadRequest(
            "images are added as multipart/form-data with `image` parts, or as JSON with `urls`"
        )
    items: list[Upload | Refused] = []
    most = service.settings.max_items
    async with request.form(max_files=most, max_fields=_FIELDS) as form:
        for name, value in form.multi_items():
            if name != "image" or not isinstance(value, UploadFile):
                raise BadRequest(f"part {name[:50]!r} is not a file named `image`")
            data = await value.read()
            called = value.filename or "upload"
            items.append(await run_in_threadpool(service.ingest.keep, data, called))
    if not items:
        raise BadRequest("the form holds no `image` part")
    return items


def _accepted(job: Job) -> Response:
    return Response(
        job.model_dump_json(),
        status_code=202,
        media_type="application/json",
        headers={"Location": f"/v1/jobs/{job.id}"},
    )
