"""Jobs, and what becomes of images that are sent."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.ingest import Became, Outcome
from api.schemas.basics import Asked, Document, Id
from likeness.catalog.serving.jobs import Job as JobRow
from likeness.catalog.serving.jobs import JobState


class Job(Document):
    """Work that goes on after the answer."""

    id: Id
    collection: str
    kind: str = Field(examples=["urls"])
    state: JobState
    total: int | None = Field(description="Images to do, once that is known.")
    settled: int = Field(description="Images that are done with, one way or another.")
    counts: dict[str, int] = Field(description="Images by outcome.")
    failures: dict[str, int] = Field(description="Failed images by reason.")
    rate: float | None = Field(description="Images per second.")
    seconds_left: float | None
    message: str | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None


class JobList(Document):
    jobs: list[Job]


def job_document(row: JobRow) -> Job:
    """A job as the API shows it."""
    return Job(
        id=row.id,
        collection=row.collection,
        kind=row.kind,
        state=row.state,
        total=row.total,
        settled=row.settled,
        counts=dict(row.counts),
        failures=dict(row.failures),
        rate=row.rate,
        seconds_left=row.seconds_left,
        message=row.message,
        created_at=row.created_at,
        started_at=row.started_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
    )


class Added(Document):
    """What became of one image."""

    name: str = Field(description="What the sender calls it.")
    outcome: Became
    id: Id | None
    sha256: str | None
    reason: str | None = Field(description="Code of why it failed.")
    message: str | None


class AddedList(Document):
    images: list[Added] = Field(description="In the order in which they were sent.")


class UrlsToAdd(Asked):
    urls: list[str] = Field(
        min_length=1, max_length=10_000, examples=[["https://example.org/cat.jpg"]]
    )


def added_document(outcomes: list[Outcome]) -> AddedList:
    """Outcomes as the API shows them."""
    return AddedList(
        images=[
            Added(
                name=each.name,
                outcome=each.became,
                id=each.image_id,
                sha256=each.sha256,
                reason=each.reason,
                message=each.message,
            )
            for each in outcomes
        ]
    )
