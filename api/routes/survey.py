"""What stands out: images unlike everything, and those with next to nothing in them."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response, status

from api.access import MAY_READ, MAY_WRITE
from api.errors import NotMadeYet
from api.routes.jobs import accepted
from api.schemas.basics import CollectionPath, PageAfter, PageLimit
from api.schemas.clusters import Standing, SurveyAsked, SurveyPage
from api.schemas.images import image_document
from api.schemas.jobs import Job
from api.service import TheService
from api.sorting.service import Sorting, TheSorting
from likeness.types import ImageState

router = APIRouter(prefix="/v1/collections/{collection}/clusters", tags=["clusters"])


@router.post(
    "/survey",
    summary="Look for what stands out",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def make_survey(
    collection: CollectionPath, asked: SurveyAsked, service: TheService, sorting: TheSorting
) -> Response:
    """A job that lists images unlike everything, and those with next to nothing in them."""
    return accepted(sorting.survey(service.collection(collection), asked.encoder))


@router.get("/outliers", summary="Images unlike everything", dependencies=[MAY_READ])
def list_outliers(
    collection: CollectionPath,
    service: TheService,
    sorting: TheSorting,
    after: PageAfter = 0,
    limit: PageLimit = 100,
) -> SurveyPage:
    """From the latest survey, the strangest first."""
    return _survey_page(collection, service, sorting, after, limit, "outliers")


@router.get("/near-empty", summary="Blank, black and blurred images", dependencies=[MAY_READ])
def list_near_empty(
    collection: CollectionPath,
    service: TheService,
    sorting: TheSorting,
    after: PageAfter = 0,
    limit: PageLimit = 100,
) -> SurveyPage:
    """From the latest survey, by kind."""
    return _survey_page(collection, service, sorting, after, limit, "empty")


def _survey_page(
    collection: str,
    service: TheService,
    sorting: Sorting,
    after: int,
    limit: int,
    which: Literal["outliers", "empty"],
) -> SurveyPage:
    known = service.collection(collection)
    survey = sorting.clustering.known_survey(known)
    if survey is None:
        raise NotMadeYet(
            f"collection {collection!r} was not surveyed yet; "
            f"POST /v1/collections/{collection}/clusters/survey does it"
        )
    if which == "outliers":
        everything = [(image_id, "outlier", value) for image_id, value in survey.outliers]
    else:
        everything = sorted(survey.empty, key=lambda each: (each[1], each[2]))
    page = everything[after : after + limit]
    rows = service.catalog.images(known.id, [image_id for image_id, _, _ in page])
    images = [
        Standing.model_validate(
            {"image": image_document(rows[image_id]), "kind": kind, "measure": round(value, 5)}
        )
        for image_id, kind, value in page
        if image_id in rows and rows[image_id].state is ImageState.READY
    ]
    return SurveyPage(
        made_at=survey.made_at,
        stale=survey.revision != known.revision,
        total=len(everything),
        images=images,
        next_after=after + limit if after + limit < len(everything) else None,
    )
