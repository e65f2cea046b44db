"""Whether the service lives, whether it is ready, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from api.access import MAY_READ
from api.errors import NotReady
from api.metrics import MEDIA_TYPE
from api.schemas.basics import Document
from api.service import TheService

router = APIRouter(tags=["operation"])


class Health(Document):
    status: str


@router.get("/healthz", summary="Alive")
async def healthz() -> Health:
    """The process answers. Nothing else is looked at."""
    return Health(status="ok")


@router.get("/readyz", summary="Ready")
async def readyz(service: TheService) -> Health:
    """Indexes are open, encoders warm, the database answers. 503 with the reason until then."""
    trouble = service.trouble or await run_in_threadpool(service.check_catalog)
    if trouble is not None:
        raise NotReady(trouble)
    return Health(status="ready")


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[MAY_READ],
)
async def metrics(service: TheService) -> Response:
    return Response(await run_in_threadpool(service.metrics.text), media_type=MEDIA_TYPE)
