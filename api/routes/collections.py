"""Collections: list, make, look at, drop."""

from __future__ import annotations

from fastapi import APIRouter, Response, status

from api.access import MAY_ADMIN, MAY_READ, MAY_WRITE
from api.schemas.basics import CollectionPath, WhereQuery
from api.schemas.collections import (
    Collection,
    CollectionList,
    FacetList,
    NewCollection,
    collection_document,
    facets_document,
)
from api.service import TheService
from likeness.errors import CollectionNotFound

router = APIRouter(prefix="/v1/collections", tags=["collections"])


@router.get("", summary="List collections", dependencies=[MAY_READ])
def list_collections(service: TheService) -> CollectionList:
    """Every collection, with counts and spaces, by name."""
    found = service.catalog.collections()
    return CollectionList(collections=[collection_document(summary) for summary in found])


@router.post(
    "", summary="Make a collection", status_code=status.HTTP_201_CREATED, dependencies=[MAY_WRITE]
)
def create_collection(asked: NewCollection, service: TheService) -> Collection:
    """The collection exists; one that was there already is returned as it is."""
    made = service.catalog.create_collection(asked.name)
    return _summary(service, made.name)


@router.get("/{collection}", summary="Look at a collection", dependencies=[MAY_READ])
def get_collection(collection: CollectionPath, service: TheService) -> Collection:
    """Its counts and spaces."""
    return _summary(service, collection)


@router.get(
    "/{collection}/facets", summary="What it can be narrowed down by", dependencies=[MAY_READ]
)
def get_facets(
    collection: CollectionPath, service: TheService, where: WhereQuery = None
) -> FacetList:
    """Years, cameras, places, folders, sizes, formats and tags that occur, each with its filter.

    A folder counts what lies below it, however deep. With `where`, only images that meet it count.
    """
    return facets_document(service.facets(collection, where))


@router.delete(
    "/{collection}",
    summary="Drop a collection",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    dependencies=[MAY_ADMIN],
)
def drop_collection(collection: CollectionPath, service: TheService) -> None:
    """Nothing of it is left in the catalog; the files of its images stay where they are."""
    service.catalog.drop_collection(collection)


def _summary(service: TheService, name: str) -> Collection:
    found = service.catalog.collections()
    for summary in found:
        if summary.collection.name == name:
            return collection_document(summary)
    raise CollectionNotFound(name, [summary.collection.name for summary in found])
