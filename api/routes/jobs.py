"""Jobs: how far they are, as documents and as a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.access import MAY_READ, MAY_WRITE
from api.schemas.basics import LARGEST_ID, Id
from api.schemas.jobs import Job, JobList, job_document
from api.service import Service, TheService
from likeness.catalog.serving.jobs import Job as JobRow

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Id of a job.")]

_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["progress", "end"]},
        "data": {"type": "string", "description": "A Job, as JSON."},
    },
    "required": ["event", "data"],
}
_LOOK_S = 0.5
_KEEP_ALIVE = 30
"""Looks between two signs of life, so that proxies keep the connection."""


@router.get("", summary="The latest jobs", dependencies=[MAY_READ])
def list_jobs(
    service: TheService,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[Id | None, Query(description="Last id of the page before.")] = None,
) -> JobList:
    """The newest first."""
    found = service.jobs.recent(limit=limit, before_id=before)
    return JobList(jobs=[job_document(job) for job in found])


@router.get("/{job_id}", summary="How far a job is", dependencies=[MAY_READ])
def get_job(job_id: JobId, service: TheService) -> Job:
    return job_document(service.jobs.get(job_id))


@router.post("/{job_id}/cancel", summary="Stop a job", dependencies=[MAY_WRITE])
def cancel_job(job_id: JobId, service: TheService) -> Job:
    """A queued job never starts; a running one stops soon. What is stored stays."""
    return job_document(service.ingest.cancel(job_id))


@router.get(
    "/{job_id}/events",
    summary="A job as it goes on",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
    dependencies=[MAY_READ],
)
async def job_events(job_id: JobId, service: TheService) -> StreamingResponse:
    """Server-sent events: `progress` with a Job whenever it changes, `end` with the last one."""
    await run_in_threadpool(service.jobs.get, job_id)  # a problem, not an empty stream
    return StreamingResponse(
        _events(job_id, service),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def accepted(job: JobRow) -> Response:
    """202 with the job, and where to follow it."""
    return Response(
        job_document(job).model_dump_json(),
        status_code=status.HTTP_202_ACCEPTED,
        media_type="application/json",
        headers={"Location": f"/v1/jobs/{job.id}"},
    )


async def _events(job_id: int, service: Service) -> AsyncIterator[str]:
    told, silent = None, 0
    while not service.stopping:
        job = await run_in_threadpool(service.jobs.get, job_id)
        data = job_document(job).model_dump_json()
        if job.state.final:
            yield f"event: end\ndata: {data}\n\n"
            return
        if data != told:
            yield f"event: progress\ndata: {data}\n\n"
            told, silent = data, 0
        else:
            silent += 1
            if silent % _KEEP_ALIVE == 0:
                yield ": still here\n\n"
        await asyncio.sleep(_LOOK_S)
