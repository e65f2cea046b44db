"""The ledger of work: what is to be done, who does it, until when, how often it was tried.

Messages of a broker are hints that a piece is ready; this is the truth. A piece is done by whoever
holds its lease, and its result counts only while that lease is the piece's own: completion is a
compare-and-set in the transaction that stores the result, so nothing is stored or counted twice.

Locks are taken in this order everywhere: work, collection, job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from likeness.catalog import Catalog
from likeness.catalog.engine import integers, reading, writing
from likeness.catalog.serving.clock import database_now
from likeness.catalog.serving.jobs import Job, JobState, job_record, new_job, start_job
from likeness.catalog.serving.schema import JobRow, WorkRow
from likeness.catalog.serving.tallies import add_tally, count_in
from likeness.catalog.serving.work import NewWork, Tally, Work, WorkState, pack
from likeness.errors import AlreadyDone, LeaseLost

_COLUMNS: tuple[Any, ...] = (
    WorkRow.id,
    WorkRow.job_id,
    WorkRow.kind,
    WorkRow.queue,
    WorkRow.stage,
    WorkRow.priority,
    WorkRow.images,
    WorkRow.state,
    WorkRow.attempts,
    WorkRow.owner,
    WorkRow.lease_until,
    WorkRow.reason,
    WorkRow.payload,
)
_STOPPED = (JobState.CANCELLING.value, JobState.CANCELLED.value)


@dataclass(frozen=True, slots=True)
class Renewed:
    """held: ids of the leases that are still the owner's. stopped: those whose job is cancelled."""

    held: frozenset[int]
    stopped: frozenset[int]


class Ledger:
    """Thread-safe. Each call is one transaction, except those that are given a connection."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    # ---------------------------------------------------------------- adding

    def submit(
        self,
        collection: str,
        kind: str,
        request: Mapping[str, Any],
        work: Sequence[NewWork],
        *,
        total: int | None = None,
        tally: Tally | None = None,
    ) -> Job:
        """A job, queued, with the work that it begins with (and what waits for that).

        tally: what is settled of it already.
        """
        with writing(self._engine) as connection:
            job_id = new_job(connection, collection, kind, request, total=total)
            if tally is not None:
                count_in(connection, job_id, tally)
            insert_work(connection, job_id, work)
            columns = JobRow.__table__.columns
            row = connection.execute(select(*columns).where(JobRow.id == job_id)).one()
            return job_record(row)

    def add(self, work: Sequence[NewWork], *, job_id: int | None = None) -> int:
        """The work is there; how many pieces were new, the others' keys being open already."""
        with writing(self._engine) as connection:
            return insert_work(connection, job_id, work)

    # ---------------------------------------------------------------- leasing

    def claim(self, work_id: int, owner: str, lease_s: float) -> Work | None:
        """The piece, leased to owner; None when it is not ready, or its job was cancelled."""
        with writing(self._engine) as connection:
            return _lease(connection, WorkRow.id == work_id, owner, lease_s)

    def claim_next(
        self,
        owner: str,
        lease_s: float,
        *,
        kind: str,
        queue: str | None = None,
        job_id: int | None = None,
    ) -> Work | None:
        """The next ready piece of that kind (and queue, and job), leased to owner, or None."""
        chosen = WorkRow.kind == kind
        if queue is not None:
            chosen &= WorkRow.queue == queue
        if job_id is not None:
            chosen &= WorkRow.job_id == job_id
        with writing(self._engine) as connection:
            return _lease(connection, chosen, owner, lease_s)

    def renew(self, owner: str, leases: Iterable[Work], lease_s: float) -> Renewed:
        """The leases that are still the owner's last lease_s from now."""
        attempts = {work.id: work.attempts for work in leases}
        if not attempts:
            return Renewed(frozenset(), frozenset())
        with writing(self._engine) as connection:
            chosen = (
                WorkRow.id.in_(integers(connection, sorted(attempts))),
                WorkRow.state == WorkState.LEASED.value,
                WorkRow.owner == owner,
            )
            statement = (
                update(WorkRow)
                .where(*chosen)
                .values(lease_until=database_now(connection) + lease_s)
                .returning(WorkRow.id, WorkRow.attempts, WorkRow.job_id)
            )
            rows = [r for r in connection.execute(statement) if attempts[r.id] == r.attempts]
            jobs = sorted({row.job_id for row in rows if row.job_id is not None})
            stopped = set(
                connection.execute(
                    select(JobRow.id).where(JobRow.id.in_(jobs), JobRow.state.in_(_STOPPED))
                ).scalars()
            )
        return Renewed(
            frozenset(row.id for row in rows),
            frozenset(row.id for row in rows if row.job_id in stopped),
        )

    # ---------------------------------------------------------------- ending a lease

    def complete(
        self, lease: Work, tally: Tally | None = None, *, add: Sequence[NewWork] = ()
    ) -> None:
        """The piece is done, what it adds to its job is counted, and further work is there.

        Raises LeaseLost, AlreadyDone; nothing is changed then.
        """
        with writing(self._engine) as connection:
            self.take_completion(connection, lease)
            insert_work(connection, lease.job_id, add)
            self.count(connection, lease, tally or Tally())

    def take_completion(self, connection: Connection, lease: Work) -> None:
        """Within a transaction that stores the result, first: the piece is done, by this lease.

        Raises LeaseLost when it is another's by now, AlreadyDone when this lease completed it
        before: a commit whose answer was lost on the way.
        """
        done = WorkState.DONE.value
        now = database_now(connection)
        statement = update(WorkRow).where(*_is(lease))
        values = {"state": done, "lease_until": None, "finished_at": now}
        if connection.execute(statement.values(**values)).rowcount:
            return
        row = connection.execute(
            select(WorkRow.state, WorkRow.owner, WorkRow.attempts).where(WorkRow.id == lease.id)
        ).one_or_none()
        if row is not None and tuple(row) == (done, lease.owner, lease.attempts):
            raise AlreadyDone(lease.id, lease.kind)
        raise LeaseLost(lease.id, lease.kind)

    def count(self, connection: Connection, lease: Work, tally: Tally) -> None:
        """Within such a transaction, last: the job's counts hold this instead of what the piece
        had added before.
        """
        add_tally(connection, lease, tally)

    def report(
        self,
        lease: Work,
        tally: Tally,
        *,
        add: Sequence[NewWork] = (),
        total: int | None = None,
    ) -> None:
        """A piece has come this far and goes on; further work is there. total: of the job.

        Raises LeaseLost; nothing is changed then.
        """
        with writing(self._engine) as connection:
            statement = update(WorkRow).where(*_is(lease)).values(owner=lease.owner)
            if connection.execute(statement).rowcount == 0:
                raise LeaseLost(lease.id, lease.kind)
            insert_work(connection, lease.job_id, add)
            add_tally(connection, lease, tally, total=total)

    def give_back(self, lease: Work, *, delay_s: float = 0.0) -> bool:
        """The piece is ready again and this attempt was none; False when it is another's by now."""
        with writing(self._engine) as connection:
            values = _ready(connection, delay_s) | {"attempts": lease.attempts - 1}
            statement = update(WorkRow).where(*_is(lease)).values(**values)
            return connection.execute(statement).rowcount > 0

    def call_off(self, lease: Work) -> bool:
        """The piece is cancelled, as those that were not begun are; False as `give_back`."""
        with writing(self._engine) as connection:
            now = database_now(connection)
            values = {"state": WorkState.CANCELLED.value, "lease_until": None, "finished_at": now}
            return (
                connection.execute(update(WorkRow).where(*_is(lease)).values(values)).rowcount > 0
            )

    def fail(self, lease: Work, reason: str, *, retry_in_s: float | None) -> bool:
        """The piece is tried again later, or dead when retry_in_s is None; False as `give_back`."""
        with writing(self._engine) as connection:
            values: dict[str, Any]
            if retry_in_s is None:
                now = database_now(connection)
                values = {"state": WorkState.DEAD.value, "lease_until": None, "finished_at": now}
            else:
                values = _ready(connection, retry_in_s)
            statement = update(WorkRow).where(*_is(lease)).values(**values, reason=reason)
            return connection.execute(statement).rowcount > 0

    def replace(self, lease: Work, parts: Sequence[NewWork]) -> bool:
        """The piece is done by having become several smaller ones; False as `give_back`."""
        with writing(self._engine) as connection:
            statement = (
                update(WorkRow)
                .where(*_is(lease))
                .values(
                    state=WorkState.DONE.value,
                    lease_until=None,
                    finished_at=database_now(connection),
                    payload=b"",
                    images=0,
                )
            )
            if connection.execute(statement).rowcount == 0:
                return False
            insert_work(connection, lease.job_id, parts)
            return True

    # ---------------------------------------------------------------- reading

    def get(self, work_id: int) -> Work | None:
        """The piece as it is now."""
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(WorkRow.id == work_id)).one_or_none()
        return None if row is None else work_record(row)

    def of_job(
        self, job_id: int, *, state: WorkState | None = None, after_id: int = 0, limit: int = 100
    ) -> list[Work]:
        """A page of a job's pieces, by id. Done ones are there until the job has ended."""
        statement = select(*_COLUMNS).where(WorkRow.job_id == job_id, WorkRow.id > after_id)
        if state is not None:
            statement = statement.where(WorkRow.state == state.value)
        with reading(self._engine) as connection:
            rows = connection.execute(statement.order_by(WorkRow.id).limit(limit)).all()
        return [work_record(row) for row in rows]


def insert_work(connection: Connection, job_id: int | None, work: Sequence[NewWork]) -> int:
    """Add pieces within a writing transaction; how many were new."""
    added = 0
    now = database_now(connection)
    for piece in work:
        state = WorkState.WAITING if piece.stage else WorkState.READY
        values = {
            "job_id": job_id,
            "kind": piece.kind,
            "queue": piece.queue,
            "key": piece.key,
            "stage": piece.stage,
            "priority": piece.priority,
            "images": piece.images,
            "state": state.value,
            "attempts": 0,
            "due_at": now,
            "created_at": now,
            "payload": pack(piece.payload),
        }
        if piece.key is None:
            connection.execute(insert(WorkRow).values(values))
        else:
            try:
                with connection.begin_nested():
                    connection.execute(insert(WorkRow).values(values))
            except IntegrityError:
                continue  # one is open already
        added += 1
    return added


def work_record(row: Row[Any]) -> Work:
    """A row of the columns that the ledger reads, as a record."""
    return Work(
        id=row.id,
        job_id=row.job_id,
        kind=row.kind,
        queue=row.queue,
        stage=row.stage,
        priority=row.priority,
        images=row.images,
        state=WorkState(row.state),
        attempts=row.attempts,
        owner=row.owner,
        lease_until=row.lease_until,
        reason=row.reason,
        packed=row.payload,
    )


def all_columns() -> Select[Any]:
    """A query over the columns of `work_record`."""
    return select(*_COLUMNS)


def _lease(
    connection: Connection, chosen: ColumnElement[bool], owner: str, lease_s: float
) -> Work | None:
    now = database_now(connection)
    found = connection.execute(
        select(WorkRow.id, WorkRow.job_id)
        .where(chosen, WorkRow.state == WorkState.READY.value, WorkRow.due_at <= now)
        .order_by(WorkRow.priority, WorkRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    if found.job_id is not None and not start_job(connection, found.job_id):
        statement = update(WorkRow).where(WorkRow.id == found.id)
        connection.execute(statement.values(state=WorkState.CANCELLED.value, finished_at=now))
        return None
    row = connection.execute(
        update(WorkRow)
        .where(WorkRow.id == found.id)
        .values(
            state=WorkState.LEASED.value,
            owner=owner,
            attempts=WorkRow.attempts + 1,
            lease_until=now + lease_s,
        )
        .returning(*_COLUMNS)
    ).one()
    return work_record(row)


def _is(lease: Work) -> tuple[ColumnElement[bool], ...]:
    """Whether a row is under this very lease."""
    return (
        WorkRow.id == lease.id,
        WorkRow.state == WorkState.LEASED.value,
        WorkRow.owner == lease.owner,
        WorkRow.attempts == lease.attempts,
    )


def _ready(connection: Connection, delay_s: float) -> dict[str, Any]:
    return {
        "state": WorkState.READY.value,
        "lease_until": None,
        "hinted_at": None,
        "due_at": database_now(connection) + delay_s,
    }
