"""What keeps the ledger moving: hints to send, leases that ran out, jobs that came to an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from likeness.catalog import Catalog
from likeness.catalog.engine import integers, reading, writing
from likeness.catalog.serving.clock import database_now
from likeness.catalog.serving.jobs import Job, JobState, job_record
from likeness.catalog.serving.ledger import all_columns, work_record
from likeness.catalog.serving.schema import DutyRow, JobRow, WorkRow
from likeness.catalog.serving.work import Backlog, Work, WorkState
from likeness.errors import JobNotFound

_OPEN = (WorkState.READY.value, WorkState.LEASED.value)
_UNFINISHED = tuple(state.value for state in JobState if not state.final)


@dataclass(frozen=True, slots=True)
class Hint:
    """A ready piece that workers of its queue should hear about."""

    work_id: int
    kind: str
    queue: str


class Upkeep:
    """Thread-safe. Each call is one transaction; any number of processes may call at once."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    # ---------------------------------------------------------------- for the sweeper

    def take_duty(self, name: str, owner: str, *, every_s: float) -> bool:
        """Whether nobody did this within every_s; if so, owner is who does it now."""
        with writing(self._engine) as connection:
            make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
            now = database_now(connection)
            connection.execute(
                make(DutyRow).values(name=name, last_at=0.0, owner="").on_conflict_do_nothing()
            )
            statement = (
                update(DutyRow)
                # A clock that was set back must not stop the duty until it has caught up.
                .where(DutyRow.name == name, func.abs(now - DutyRow.last_at) >= every_s)
                .values(last_at=now, owner=owner)
            )
            return connection.execute(statement).rowcount > 0

    def queues_to_hint(self, *, again_after_s: float) -> list[str]:
        """Queues with pieces that `hints` would give; reads only."""
        with reading(self._engine) as connection:
            now = database_now(connection)
            statement = select(WorkRow.queue).where(*_hintable(now, again_after_s)).distinct()
            return list(connection.execute(statement).scalars())

    def hints(self, queue: str, *, limit: int, again_after_s: float) -> list[Hint]:
        """Ready pieces that nobody was told of within again_after_s; they count as told now."""
        with writing(self._engine) as connection:
            now = database_now(connection)
            rows = connection.execute(
                select(WorkRow.id, WorkRow.kind)
                .where(WorkRow.queue == queue, *_hintable(now, again_after_s))
                .order_by(WorkRow.priority, WorkRow.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            ).all()
            ids = integers(connection, [row.id for row in rows])
            connection.execute(update(WorkRow).where(WorkRow.id.in_(ids)).values(hinted_at=now))
        return [Hint(row.id, row.kind, queue) for row in rows]

    def forget_hints(self, work_ids: Sequence[int]) -> None:
        """Those could not be sent after all."""
        with writing(self._engine) as connection:
            ids = integers(connection, list(work_ids))
            connection.execute(update(WorkRow).where(WorkRow.id.in_(ids)).values(hinted_at=None))

    def lapsed(self, *, limit: int = 100) -> list[Work]:
        """Pieces whose lease ran out: their workers died, hang, or cannot reach the database.

        Each is as its lease was, to be ended by `Ledger.fail`, `give_back` or `replace`.
        """
        with reading(self._engine) as connection:
            now = database_now(connection)
            statement = (
                all_columns()
                .where(WorkRow.state == WorkState.LEASED.value, WorkRow.lease_until < now)
                .order_by(WorkRow.lease_until)
                .limit(limit)
            )
            return [work_record(row) for row in connection.execute(statement)]

    def end_leases_of(self, owner: str) -> int:
        """What owner holds is lapsed, its process being dead; how many pieces."""
        with writing(self._engine) as connection:
            statement = update(WorkRow).where(
                WorkRow.state == WorkState.LEASED.value, WorkRow.owner == owner
            )
            past = database_now(connection) - 1.0
            return connection.execute(statement.values(lease_until=past)).rowcount

    def jobs_to_advance(self, *, limit: int = 100) -> list[int]:
        """Jobs of queued work that have not ended though none of it is open, oldest first."""
        work = select(WorkRow.id).where(WorkRow.job_id == JobRow.id)
        statement = (
            select(JobRow.id)
            .where(
                JobRow.state.in_(_UNFINISHED),
                exists(work),
                ~exists(work.where(WorkRow.state.in_(_OPEN))),
            )
            .order_by(JobRow.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return list(connection.execute(statement).scalars())

    def backlog(self) -> list[Backlog]:
        """What is not done yet, by queue, kind and state."""
        with reading(self._engine) as connection:
            now = database_now(connection)
            grouped = (WorkRow.queue, WorkRow.kind, WorkRow.state)
            statement = (
                select(
                    *grouped,
                    func.count(),
                    func.coalesce(func.sum(WorkRow.images), 0),
                    now - func.min(WorkRow.due_at),
                )
                .where(WorkRow.state.in_((*_OPEN, WorkState.WAITING.value, WorkState.DEAD.value)))
                .group_by(*grouped)
                .order_by(*grouped)
            )
            return [
                Backlog(queue, kind, WorkState(state), pieces, int(images), max(0.0, waited))
                for queue, kind, state, pieces, images, waited in connection.execute(statement)
            ]

    # ---------------------------------------------------------------- jobs of queued work

    def advance(self, job_id: int) -> Job:
        """The job goes on to what waits, or ends, if nothing of it is open; the job then.

        Raises JobNotFound.
        """
        with writing(self._engine) as connection:
            job = _locked(connection, job_id)
            if job.state.final or _any(connection, job_id, _OPEN):
                return job
            if job.state is JobState.CANCELLING:
                _end(connection, job_id, JobState.CANCELLED, job.message)
            elif not _wake_next_stage(connection, job_id):
                dead = connection.execute(
                    select(WorkRow.kind, WorkRow.reason)
                    .where(WorkRow.job_id == job_id, WorkRow.state == WorkState.DEAD.value)
                    .order_by(WorkRow.id)
                    .limit(1)
                ).one_or_none()
                if dead is None:
                    _end(connection, job_id, JobState.DONE, None)
                else:
                    _end(connection, job_id, JobState.FAILED, f"{dead.kind}: {dead.reason}")
            return _locked(connection, job_id)

    def cancel(self, job_id: int) -> Job:
        """What was not begun of the job never is; what was is asked to stop. Raises JobNotFound."""
        with writing(self._engine) as connection:
            job = _locked(connection, job_id)
            if not job.state.final:
                _set(connection, job_id, state=JobState.CANCELLING.value)
        with writing(self._engine) as connection:  # work before job, as everywhere
            connection.execute(
                update(WorkRow)
                .where(WorkRow.job_id == job_id, WorkRow.state == WorkState.READY.value)
                .values(state=WorkState.CANCELLED.value, finished_at=database_now(connection))
            )
        return self.advance(job_id)

    def retry(self, job_id: int) -> int:
        """Dead and cancelled pieces are ready, with as many attempts as new ones; how many.

        The job runs again if there are any, or if some still waits. Raises JobNotFound.
        """
        with writing(self._engine) as connection:
            ended = (WorkState.DEAD.value, WorkState.CANCELLED.value)
            changed = connection.execute(
                update(WorkRow)
                .where(WorkRow.job_id == job_id, WorkRow.state.in_(ended))
                .values(
                    state=WorkState.READY.value,
                    attempts=0,
                    due_at=database_now(connection),
                    hinted_at=None,
                    finished_at=None,
                    reason=None,
                )
            ).rowcount
            job = _locked(connection, job_id)
            waits = _any(connection, job_id, (WorkState.WAITING.value,))
            if job.state.final and (changed or waits):
                state = JobState.RUNNING if job.started_at else JobState.QUEUED
                _set(connection, job_id, state=state.value, finished_at=None, message=None)
        return changed

    def is_queued(self, job_id: int) -> bool:
        """Whether the job consists of pieces of the ledger, and is not the work of one process."""
        with reading(self._engine) as connection:
            any_work = select(exists(select(WorkRow.id).where(WorkRow.job_id == job_id)))
            return bool(connection.execute(any_work).scalar())

    def requests(self, kind: str) -> list[Job]:
        """The newest job of that kind for each request, by id."""
        with reading(self._engine) as connection:
            newest = (
                select(func.max(JobRow.id))
                .where(JobRow.kind == kind)
                .group_by(JobRow.collection, JobRow.request)
            )
            columns = JobRow.__table__.columns
            statement = select(*columns).where(JobRow.id.in_(newest)).order_by(JobRow.id)
            return [job_record(row) for row in connection.execute(statement)]


def _hintable(now: ColumnElement[float], again_after_s: float) -> tuple[ColumnElement[bool], ...]:
    told = WorkRow.hinted_at.is_not(None) & (func.abs(now - WorkRow.hinted_at) < again_after_s)
    return (WorkRow.state == WorkState.READY.value, WorkRow.due_at <= now, ~told)


def _locked(connection: Connection, job_id: int) -> Job:
    statement = select(*JobRow.__table__.columns).where(JobRow.id == job_id)
    statement = statement.with_for_update(key_share=True)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return job_record(row)


def _any(connection: Connection, job_id: int, states: Sequence[str]) -> bool:
    found = select(WorkRow.id).where(WorkRow.job_id == job_id, WorkRow.state.in_(states)).limit(1)
    return connection.execute(found).first() is not None


def _wake_next_stage(connection: Connection, job_id: int) -> bool:
    waiting = (WorkRow.job_id == job_id, WorkRow.state == WorkState.WAITING.value)
    stage = connection.execute(select(func.min(WorkRow.stage)).where(*waiting)).scalar()
    if stage is None:
        return False
    connection.execute(
        update(WorkRow)
        .where(*waiting, WorkRow.stage == stage)
        .values(state=WorkState.READY.value, due_at=database_now(connection))
    )
    return True


def _end(connection: Connection, job_id: int, state: JobState, message: str | None) -> None:
    _set(
        connection,
        job_id,
        state=state.value,
        message=message,
        finished_at=datetime.now(UTC),
    )
    done = WorkRow.state == WorkState.DONE.value
    connection.execute(delete(WorkRow).where(WorkRow.job_id == job_id, done))


def _set(connection: Connection, job_id: int, **values: Any) -> None:
    statement = update(JobRow).where(JobRow.id == job_id)
    connection.execute(statement.values(**values, updated_at=datetime.now(UTC)))
