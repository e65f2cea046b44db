"""What pieces of work add to their job's counts, each exactly once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select, update

from likeness.catalog.serving.schema import JobRow, WorkRow
from likeness.catalog.serving.work import PROBLEMS_KEPT, Tally, Work


def add_tally(
    connection: Connection, lease: Work, tally: Tally, *, total: int | None = None
) -> None:
    """The job holds this tally of the piece instead of the one before it. total: of the job.

    connection: in a writing transaction that holds the piece's lease; the job is locked until its
    end, so call this last.
    """
    if lease.job_id is None:
        return
    before = connection.execute(select(WorkRow.tally).where(WorkRow.id == lease.id)).scalar()
    old: Mapping[str, Mapping[str, int]] = json.loads(before) if before else {}
    new = {"counts": dict(tally.counts), "failures": dict(tally.failures)}
    if new != (old or {"counts": {}, "failures": {}}):
        connection.execute(
            update(WorkRow).where(WorkRow.id == lease.id).values(tally=json.dumps(new))
        )
    count_in(connection, lease.job_id, tally, instead_of=old, total=total)


def count_in(
    connection: Connection,
    job_id: int,
    tally: Tally,
    *,
    instead_of: Mapping[str, Mapping[str, int]] | None = None,
    total: int | None = None,
) -> None:
    """The job holds this tally besides its others, or instead of one; it is locked from here on."""
    old = instead_of or {}
    job = connection.execute(
        select(JobRow.counts, JobRow.failures, JobRow.problems)
        .where(JobRow.id == job_id)
        .with_for_update(key_share=True)
    ).one()
    values: dict[str, Any] = {
        "counts": _sum(job.counts, tally.counts, old.get("counts", {})),
        "failures": _sum(job.failures, tally.failures, old.get("failures", {})),
        "updated_at": datetime.now(UTC),
    }
    if tally.problems:
        kept = [tuple(problem) for problem in json.loads(job.problems or "[]")]
        fresh = [problem for problem in tally.problems if problem not in kept]
        values["problems"] = json.dumps([*kept, *fresh][:PROBLEMS_KEPT])
    if total is not None:
        values["total"] = total
    connection.execute(update(JobRow).where(JobRow.id == job_id).values(**values))


def _sum(text: str, new: Mapping[str, int], old: Mapping[str, int]) -> str:
    counts: dict[str, int] = json.loads(text)
    for name in (*new, *old):
        if name in counts or new.get(name, 0) != old.get(name, 0):
            counts.setdefault(name, 0)
    for name in counts:
        counts[name] += new.get(name, 0) - old.get(name, 0)
    return json.dumps({name: count for name, count in counts.items() if count})
