"""Jobs: work that outlives the call that asked for it, as rows that every process can read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from likeness.catalog import Catalog
from likeness.catalog.engine import reading, writing
from likeness.catalog.serving.schema import JobRow
from likeness.errors import JobNotFound


class JobState(StrEnum):
    """QUEUED → RUNNING → DONE, FAILED or CANCELLED. CANCELLING: asked to stop, not stopped yet.

    DONE may hold images that failed; FAILED means that the work as a whole could not go on.
    """

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
_INDEXING_COUNTS = ("kept", "stored", "linked", "moved", "filled", "removed", "failed")
_SORTING_COUNTS = ("compared", "looked_at", "taken_away", "brought_back", "skipped")
_SETTLED_COUNTS = (*_INDEXING_COUNTS, *_SORTING_COUNTS)


@dataclass(frozen=True, slots=True)
class Job:
    """counts: images by outcome, as `indexer.progress.Counts` names them; of jobs that sort, images
    or pairs of them. failures: reason code → images. total: those to do, None until that is known.
    message: what it is doing, or how it ended. Times are aware and UTC.
    """

    id: int
    collection: str
    kind: str
    state: JobState
    request: Mapping[str, Any]
    total: int | None
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    message: str | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    problems: Sequence[tuple[str, str, str]] = ()

    @property
    def settled(self) -> int:
        """Images that are done with, one way or another."""
        return sum(self.counts.get(name, 0) for name in _SETTLED_COUNTS)

    @property
    def rate(self) -> float | None:
        """Images settled per second since it started; None before."""
        if self.started_at is None:
            return None
        seconds = ((self.finished_at or self.updated_at) - self.started_at).total_seconds()
        return self.settled / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None where that cannot be told."""
        if self.state.final:
            return 0.0
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.settled) / self.rate


class Jobs:
    """The catalog's jobs. Each call is one transaction. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    def create(
        self, collection: str, kind: str, request: Mapping[str, Any], *, total: int | None = None
    ) -> Job:
        """A new job, queued. request: JSON values, enough to do the work or to tell what it was."""
        with writing(self._engine) as connection:
            job_id = new_job(connection, collection, kind, request, total=total)
        return self.get(job_id)

    def get(self, job_id: int) -> Job:
        """Raises JobNotFound."""
        with reading(self._engine) as connection:
            columns = JobRow.__table__.columns
            row = connection.execute(select(*columns).where(JobRow.id == job_id)).one_or_none()
        if row is None:
            raise JobNotFound(job_id)
        return job_record(row)

    def recent(self, *, limit: int = 50, before_id: int | None = None) -> list[Job]:
        """The newest jobs first; before_id: the last id of the page before."""
        statement = select(*JobRow.__table__.columns).order_by(JobRow.id.desc()).limit(limit)
        if before_id is not None:
            statement = statement.where(JobRow.id < before_id)
        with reading(self._engine) as connection:
            return [job_record(row) for row in connection.execute(statement)]

    def start(self, job_id: int) -> bool:
        """The job is running, if it was queued; whether it was."""
        now = datetime.now(UTC)
        values = {"state": JobState.RUNNING.value, "started_at": now, "updated_at": now}
        return self._change(job_id, values, from_states=(JobState.QUEUED,))

    def report(
        self,
        job_id: int,
        *,
        counts: Mapping[str, int],
        failures: Mapping[str, int],
        total: int | None = None,
        message: str | None = None,
    ) -> JobState:
        """The job has come this far; returns its state, so that its worker sees a cancellation.

        message: what it is doing, in words.
        """
        values: dict[str, Any] = {
            "counts": json.dumps(counts),
            "failures": json.dumps(failures),
            "updated_at": datetime.now(UTC),
        }
        if total is not None:
            values["total"] = total
        if message is not None:
            values["message"] = message
        self._change(job_id, values, from_states=(JobState.RUNNING, JobState.CANCELLING))
        return self.get(job_id).state

    def finish(self, job_id: int, state: JobState, message: str | None = None) -> bool:
        """The job has ended so, unless it had ended before; whether it had not."""
        now = datetime.now(UTC)
        values = {
            "state": state.value,
            "message": message,
            "updated_at": now,
            "finished_at": now,
        }
        unfinished = tuple(state for state in JobState if not state.final)
        return self._change(job_id, values, from_states=unfinished)

    def cancel(self, job_id: int) -> Job:
        """A queued job is cancelled at once; a running one is asked to stop. Raises JobNotFound."""
        now = datetime.now(UTC)
        cancelled = {"state": JobState.CANCELLED.value, "updated_at": now, "finished_at": now}
        if not self._change(job_id, cancelled, from_states=(JobState.QUEUED,)):
            values = {"state": JobState.CANCELLING.value}
            self._change(job_id, values, from_states=(JobState.RUNNING,))
        return self.get(job_id)

    def _change(
        self, job_id: int, values: Mapping[str, Any], *, from_states: tuple[JobState, ...]
    ) -> bool:
        statement = (
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.state.in_([state.value for state in from_states]))
            .values(**values)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount > 0


def new_job(
    connection: Connection,
    collection: str,
    kind: str,
    request: Mapping[str, Any],
    *,
    total: int | None = None,
) -> int:
    """The id of a new job, within a writing transaction; see `Jobs.create`."""
    now = datetime.now(UTC)
    values = {
        "collection": collection,
        "kind": kind,
        "state": JobState.QUEUED.value,
        "request": json.dumps(request),
        "total": total,
        "counts": "{}",
        "failures": "{}",
        "created_at": now,
        "updated_at": now,
    }
    statement = insert(JobRow).values(values).returning(JobRow.id)
    return int(connection.execute(statement).scalar_one())


def start_job(connection: Connection, job_id: int) -> bool:
    """A queued job is running from now on; False when it was cancelled, and must not begin."""
    state = connection.execute(select(JobRow.state).where(JobRow.id == job_id)).scalar_one()
    if state == JobState.QUEUED.value:
        now = datetime.now(UTC)
        values = {"state": JobState.RUNNING.value, "started_at": now, "updated_at": now}
        queued = (JobRow.id == job_id, JobRow.state == state)
        if connection.execute(update(JobRow).where(*queued).values(**values)).rowcount:
            return True
        # Another was faster, and may have cancelled it.
        state = connection.execute(select(JobRow.state).where(JobRow.id == job_id)).scalar_one()
    return state not in (JobState.CANCELLING.value, JobState.CANCELLED.value)


def job_record(row: Row[Any]) -> Job:
    """A whole row of `jobs` as a record."""
    return Job(
        id=row.id,
        collection=row.collection,
        kind=row.kind,
        state=JobState(row.state),
        request=json.loads(row.request),
        total=row.total,
        counts=json.loads(row.counts),
        failures=json.loads(row.failures),
        message=row.message,
        created_at=row.created_at,
        started_at=row.started_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        problems=[(name, code, why) for name, code, why in json.loads(row.problems or "[]")],
    )
