"""`likeness jobs`: queued work, as every process that shares the catalog sees it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from indexer.progress import Progress
from likeness.catalog.serving.jobs import Job, Jobs, JobState
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import Backlog, Work, WorkState
from likeness.cli.options import json_option
from likeness.cli.output import duration_text, emit_json, note, print_table
from likeness.cli.progress import shown, stopped_by_ctrl_c
from likeness.cli.queued import follow
from likeness.errors import InputError
from likeness.runtime import Runtime
from likeness.settings import Settings

_SHOWN = 20
_JOB_ID = click.argument("job_id", type=click.IntRange(1), metavar="ID")


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=_SHOWN, show_default=True,
              help="How many, the newest first.")  # fmt: skip
@json_option
@click.pass_context
def jobs(ctx: click.Context, *, limit: int, as_json: bool) -> int:
    """List jobs: what was asked, how far it is, what failed; and what waits for workers."""
    if ctx.invoked_subcommand is not None:
        return 0
    with Runtime(ctx.obj) as runtime:
        found = Jobs(runtime.catalog).recent(limit=limit)
        backlog = Upkeep(runtime.catalog).backlog()
    if as_json:
        emit_json(
            {
                "schema": "likeness.jobs/1",
                "jobs": [job_document(job) for job in found],
                "backlog": [asdict(entry) for entry in backlog],
            }
        )
        return 0
    print_table(
        ["job", "kind", "collection", "state", "done", "of", "failed", "rate", "left"],
        [_job_cells(job) for job in found],
    )
    _print_backlog(backlog)
    return 0


@jobs.command()
@_JOB_ID
@click.option("--follow", "following", is_flag=True, help="Show progress until it has ended.")
@json_option
@click.pass_obj
def show(settings: Settings, *, job_id: int, following: bool, as_json: bool) -> int:
    """Show one job: counts, failures by reason, and pieces of work that did not succeed.

    Exit status 1 when the job, or an image of it, has failed.
    """
    stop = threading.Event()
    with Runtime(settings) as runtime:
        known = Jobs(runtime.catalog)
        if following:
            progress = Progress()
            with stopped_by_ctrl_c(stop), shown(progress):
                follow(known, job_id, progress, stop)
        job = known.get(job_id)
        dead = Ledger(runtime.catalog).of_job(job_id, state=WorkState.DEAD, limit=_SHOWN)
    if as_json:
        pieces = [_work_document(work) for work in dead]
        emit_json({"schema": "likeness.job/1", **job_document(job), "dead": pieces})
    else:
        _print_job(job, dead)
    return 1 if job.state is JobState.FAILED or job.failures else 0


@jobs.command()
@_JOB_ID
@json_option
@click.pass_obj
def cancel(settings: Settings, *, job_id: int, as_json: bool) -> int:
    """Stop a job. What is stored stays; what is in hand ends within seconds."""
    with Runtime(settings) as runtime:
        upkeep = Upkeep(runtime.catalog)
        queued = upkeep.is_queued(job_id)
        job = upkeep.cancel(job_id) if queued else Jobs(runtime.catalog).cancel(job_id)
    _say(job, as_json=as_json)
    return 0


@jobs.command()
@_JOB_ID
@json_option
@click.pass_obj
def retry(settings: Settings, *, job_id: int, as_json: bool) -> int:
    """Take up again what of a job was given up or cancelled.

    A job that ended otherwise is asked for anew; images that failed are read again.
    """
    from workers.queue import WorkQueue  # with Celery behind it: other commands start without

    with Runtime(settings) as runtime, WorkQueue(settings, runtime.catalog) as queue:
        job = queue.jobs.get(job_id)
        if not job.state.final:
            raise InputError(f"job {job_id} is {job.state.value}; only an ended one can be retried")
        job = queue.jobs.get(job_id) if queue.retry(job_id) else queue.again(job)
    _say(job, as_json=as_json)
    return 0


def job_document(job: Job) -> dict[str, Any]:
    """A job as JSON values, in a stable schema."""
    return {
        "id": job.id,
        "kind": job.kind,
        "collection": job.collection,
        "state": job.state.value,
        "request": dict(job.request),
        "total": job.total,
        "settled": job.settled,
        "counts": dict(job.counts),
        "failures": dict(job.failures),
        "problems": [
            {"name": name, "code": code, "reason": reason} for name, code, reason in job.problems
        ],
        "rate": job.rate,
        "seconds_left": job.seconds_left,
        "message": job.message,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "updated_at": job.updated_at,
        "finished_at": job.finished_at,
    }


def _say(job: Job, *, as_json: bool) -> None:
    if as_json:
        emit_json({"schema": "likeness.job/1", **job_document(job), "dead": []})
    else:
        click.echo(f"job {job.id} ({job.kind} of {job.collection}) is {job.state.value}")


def _job_cells(job: Job) -> list[object]:
    left = job.seconds_left if not job.state.final else None
    return [
        job.id,
        job.kind,
        job.collection,
        job.state.value,
        job.settled,
        job.total,
        sum(job.failures.values()) or None,
        f"{job.rate:.1f}/s" if job.rate else None,
        None if left is None else duration_text(left),
    ]


def _print_backlog(backlog: list[Backlog]) -> None:
    for entry in backlog:
        images = f", {entry.images:,} images" if entry.images else ""
        oldest = ""
        if entry.state is WorkState.READY:
            oldest = f", the oldest for {duration_text(entry.waited_s)}"
        note(f"{entry.queue}: {entry.pieces:,} {entry.kind} {entry.state.value}{images}{oldest}")


def _print_job(job: Job, dead: list[Work]) -> None:
    click.echo(f"job {job.id}: {job.kind} of {job.collection}, {job.state.value}")
    if job.message:
        click.echo(f"  {job.message}")
    total = "?" if job.total is None else f"{job.total:,}"
    click.echo(f"  {job.settled:,} of {total} images" + _pace(job))
    _print_counts("  ", job.counts)
    _print_counts("  failed, ", job.failures)
    for name, code, reason in job.problems[:_SHOWN]:
        click.echo(f"  {code}: {reason if name in reason else f'{name}: {reason}'}")
    for work in dead:
        click.echo(
            f"  work {work.id} ({work.kind}, {work.images:,} images) was given up after "
            f"{work.attempts} attempts: {work.reason}"
        )
    if dead:
        click.echo(f"  mend the cause, then `likeness jobs retry {job.id}`")


def _pace(job: Job) -> str:
    parts = [f", {job.rate:.1f} images/s" if job.rate else ""]
    if not job.state.final and job.seconds_left is not None:
        parts.append(f", {duration_text(job.seconds_left)} left")
    return "".join(parts)


def _print_counts(prefix: str, counts: Mapping[str, int]) -> None:
    if counts:
        click.echo(prefix + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


def _work_document(work: Work) -> dict[str, Any]:
    return {
        "id": work.id,
        "kind": work.kind,
        "images": work.images,
        "attempts": work.attempts,
        "reason": work.reason,
    }
