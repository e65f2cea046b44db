"""What a query picture looks like: for browsers that cannot show it, or may not fetch it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api.access import MAY_READ
from api.errors import BadRequest
from api.questions import content_kind
from api.schemas.basics import Asked
from api.service import Service, TheService
from likeness.imaging.thumbnail_cache import SIDES
from likeness.imaging.thumbnails import MEDIA_TYPE, thumbnail

router = APIRouter(prefix="/v1/preview", tags=["search"])


class PreviewAsked(Asked):
    """A picture on the web."""

    url: str = Field(min_length=8, max_length=4000, examples=["https://example.org/cat.jpg"])


_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/PreviewAsked"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary"}},
            }
        },
    },
}


@router.post(
    "",
    summary="A small picture of a query picture",
    response_class=Response,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
    },
    openapi_extra={"requestBody": _BODY},
    dependencies=[MAY_READ],
)
async def preview(request: Request, service: TheService) -> Response:
    """WebP, drawn anew from the pixels that a search with this picture would see.

    URLs are fetched through the guarded client, if the server's settings allow it at all.
    """
    data, name = await _asked(request, service)
    pixels = await service.pictures.decoded(data, name)
    drawn = await run_in_threadpool(thumbnail, pixels, SIDES[-1])
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(drawn, media_type=MEDIA_TYPE, headers=headers)


async def _asked(request: Request, service: Service) -> tuple[bytes, str]:
    """Bytes and name of the one picture. Raises BadRequest, ValidationError, UrlsAreOff."""
    kind = content_kind(request)
    if kind in ("application/json", ""):
        url = PreviewAsked.model_validate_json(await request.body()).url
        return await service.pictures.fetched(url), url
    if kind != "multipart/form-data":
        raise BadRequest(f"a picture comes as multipart/form-data or JSON, not {kind[:100]!r}")
    async with request.form(max_files=1, max_fields=1) as form:
        value = form.get("image")
        if not isinstance(value, UploadFile):
            raise BadRequest("the form holds no `image` part")
        return await value.read(), value.filename or "the picture"
