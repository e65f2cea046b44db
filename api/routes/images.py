"""Stored images: facts, pictures, tags, and taking them out."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Response, status
from starlette.concurrency import run_in_threadpool

from api.access import MAY_READ, MAY_WRITE
from api.schemas.basics import CollectionPath, Id, ImageIdPath, WhereQuery
from api.schemas.images import Image, ImagePage, TagChange, image_document
from api.service import TheService
from likeness.catalog.records import REMOVED, ImageRow
from likeness.catalog.where import parse_where
from likeness.imaging.sniff import sniff
from likeness.imaging.thumbnail_cache import SIDES, kept_side
from likeness.imaging.thumbnails import MEDIA_TYPE
from likeness.types import ImageState

router = APIRouter(prefix="/v1/collections/{collection}/images", tags=["images"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heif": "image/heif",
    "jpeg2000": "image/jp2",
}
_UNCHANGING = "private, max-age=31536000, immutable"
"""An image id's bytes never change: a changed file is a new image."""

_FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "What the caller has is the same."}
}


@router.get("", summary="List images", dependencies=[MAY_READ])
def list_images(
    collection: CollectionPath,
    service: TheService,
    where: WhereQuery = None,
    state: Annotated[ImageState, Query(description="Only images in this state.")] = (
        ImageState.READY
    ),
    after: Annotated[Id, Query(description="`next_after` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ImagePage:
    """A page of images, by id."""
    known = service.collection(collection)
    condition = parse_where(where) if where and where.strip() else None
    rows = service.catalog.list_images(
        known.id, where=condition, state=state, after_id=after, limit=limit + 1
    )
    page = rows[:limit]
    return ImagePage(
        images=[image_document(row) for row in page],
        next_after=page[-1].id if len(rows) > limit else None,
    )


@router.get("/{image_id}", summary="Everything known of an image", dependencies=[MAY_READ])
def get_image(collection: CollectionPath, image_id: ImageIdPath, service: TheService) -> Image:
    return image_document(service.image(collection, image_id))


@router.get(
    "/{image_id}/thumbnail",
    summary="A small picture",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: _BINARY}}, **_NOT_MODIFIED},
    dependencies=[MAY_READ],
)
async def get_thumbnail(
    collection: CollectionPath,
    image_id: ImageIdPath,
    service: TheService,
    size: Annotated[
        int, Query(ge=16, le=SIDES[-1], description=f"Longer side; one of {SIDES} is sent.")
    ] = 256,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """WebP, drawn anew from the pixels: nothing else of the file is in it."""
    row = await run_in_threadpool(service.image, collection, image_id)
    headers = {"ETag": f'"{row.sha256 or row.id}-{kept_side(size)}"', "Cache-Control": _UNCHANGING}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    data = await service.pictures.thumbnail(row, size)
    return Response(data, media_type=MEDIA_TYPE, headers={**headers, **_FILE_HEADERS})


@router.get(
    "/{image_id}/file",
    summary="The image's file",
    response_class=Response,
    responses={200: {"content": {"image/*": _BINARY}}, **_NOT_MODIFIED},
    dependencies=[MAY_READ],
)
def get_file(
    collection: CollectionPath,
    image_id: ImageIdPath,
    service: TheService,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The bytes that were indexed, and only those: 410 when the file has gone or changed."""
    row = service.image(collection, image_id)
    headers = {"ETag": f'"{row.sha256 or row.id}"', "Cache-Control": _UNCHANGING}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    data = service.pictures.original(row)
    found = sniff(data)
    media_type = _MEDIA_TYPES.get(found.name, "image/x-unknown") if found else "image/x-unknown"
    disposition = f"inline; filename*=UTF-8''{quote(_file_name(row), safe='')}"
    headers |= {"Content-Disposition": disposition, **_FILE_HEADERS}
    return Response(data, media_type=media_type, headers=headers)


@router.patch("/{image_id}", summary="Change an image's tags", dependencies=[MAY_WRITE])
def change_tags(
    collection: CollectionPath, image_id: ImageIdPath, change: TagChange, service: TheService
) -> Image:
    """`tags` replaces them all; `add` and `remove` change some."""
    row = service.image(collection, image_id)
    _apply(service, row.collection_id, [row.id], change)
    return image_document(service.image(collection, image_id))


@router.delete(
    "/{image_id}",
    summary="Take an image out",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    dependencies=[MAY_WRITE],
)
def remove_image(
    collection: CollectionPath, image_id: ImageIdPath, service: TheService
) -> Response:
    """It disappears from every answer at once, and stays out when its source is indexed again.

    Its file is not touched.
    """
    row = service.image(collection, image_id)
    service.catalog.mark_gone(row.collection_id, [row.id], reason_code=REMOVED)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _apply(
    service: TheService, collection_id: int, image_ids: list[int], change: TagChange
) -> None:
    if change.tags is not None:
        service.catalog.set_tags(collection_id, image_ids, change.tags)
    if change.add:
        service.catalog.add_tags(collection_id, image_ids, change.add)
    if change.remove:
        service.catalog.remove_tags(collection_id, image_ids, change.remove)


def _file_name(row: ImageRow) -> str:
    given = row.fields.get("filename")
    return given if isinstance(given, str) else PurePath(row.path).name or f"image-{row.id}"
