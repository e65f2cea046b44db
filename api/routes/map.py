"""The map of a collection, in the compact form of `api.sorting.mapping`; tags for a selection."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response, status

from api.access import MAY_READ, MAY_WRITE
from api.routes.jobs import accepted
from api.schemas.basics import LARGEST_ID, CollectionPath
from api.schemas.clusters import SurveyAsked, TaggedMany, TagsForMany
from api.schemas.jobs import Job
from api.service import TheService
from api.sorting.mapping import MEDIA_TYPE
from api.sorting.service import TheSorting

router = APIRouter(prefix="/v1/collections/{collection}", tags=["map"])

_MAP: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "What the caller has is the same."},
}


@router.post(
    "/map",
    summary="Make the map",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def make_map(
    collection: CollectionPath, asked: SurveyAsked, service: TheService, sorting: TheSorting
) -> Response:
    """A job that gives every image a place in the plane, alike images near each other. A map that
    exists is extended to new images, and computed anew when the collection has grown by half."""
    return accepted(sorting.make_map(service.collection(collection), asked.encoder))


@router.get(
    "/map",
    summary="The map",
    response_class=Response,
    responses=_MAP,
    dependencies=[MAY_READ],
)
def get_map(
    collection: CollectionPath,
    service: TheService,
    sorting: TheSorting,
    run: Annotated[
        int | None, Query(ge=1, le=LARGEST_ID, description="Clusters of this run; default: latest.")
    ] = None,
    encoder: Annotated[str | None, Query(max_length=500)] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Id, place, cluster, time and folder of every image, about eleven bytes each; docs/api.md
    describes the form. 404 `not_made_yet` until a job has made it."""
    data, tag = sorting.map_bytes(service.collection(collection), run, encoder)
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    return Response(data, media_type=MEDIA_TYPE, headers=headers)


@router.post("/tags", summary="Tag a selection", dependencies=[MAY_WRITE])
def tag_many(collection: CollectionPath, asked: TagsForMany, service: TheService) -> TaggedMany:
    """`add` and `remove` tags of many images at once. Ids that the collection does not have are
    passed over."""
    known = service.collection(collection)
    ids = sorted(service.catalog.images(known.id, sorted(set(asked.images))))
    if ids and asked.add:
        service.catalog.add_tags(known.id, ids, asked.add)
    if ids and asked.remove:
        service.catalog.remove_tags(known.id, ids, asked.remove)
    return TaggedMany(images=len(ids))
