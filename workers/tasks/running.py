"""One piece of work: leased, done by its handler, and its job moved on; or recovered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeAlias

from likeness.catalog.serving.jobs import Job
from likeness.catalog.serving.work import Work
from likeness.errors import CatalogUnavailable, LikenessError, WorkError
from likeness.telemetry.logs import log_ids
from likeness.telemetry.tracing import span
from workers.kinds import LEASE_FACTOR
from workers.leases import Held, Why
from workers.process import WorkerProcess
from workers.recovery import Recovery

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[WorkerProcess, Held], None]
"""Ends the lease itself when all went well; what it raises is recovered from here."""


class HandBack(Exception):
    """Work in hand is to be given back unfinished."""


class CalledOff(Exception):
    """Work in hand is to be left unfinished, since its job was cancelled; `retry` does it anew."""


def run_ready(process: WorkerProcess, kind: str, handler: Handler) -> None:
    """Ready pieces of the kind are done, or accounted for, one after another for a stint.

    A message is worth as many pieces as there is time for; nothing happens when there are none.
    """
    until = time.monotonic() + process.settings.queue_stint_s
    while not process.stopping.is_set():
        process.progressed()
        lease_s = process.settings.queue_lease_s * LEASE_FACTOR.get(kind, 1)
        work = process.ledger.claim_next(process.owner, lease_s, kind=kind)
        if work is None:
            return
        with process.busy():
            _run(process, work, handler, lease_s)
        if time.monotonic() > until:
            return


def _run(process: WorkerProcess, work: Work, handler: Handler, lease_s: float) -> None:
    held = process.leases.hold(work, lease_s=lease_s)
    with (
        log_ids(job_id=work.job_id, work_id=work.id),
        span("work", kind=work.kind, job_id=work.job_id, work_id=work.id, attempt=work.attempts),
    ):
        log.info("%s begins, attempt %d", work.kind, work.attempts)
        try:
            handler(process, held)
        except Exception as error:  # noqa: BLE001 - a process's edge: recorded in the ledger
            end_badly(process, held, error)
        finally:
            process.leases.release(work)
            process.progressed()
        move_on(process, work)


def end_badly(process: WorkerProcess, held: Held, error: Exception) -> None:
    """The piece is given back, tried again, cut up or laid aside, as the error says."""
    work = held.work
    try:
        if isinstance(error, WorkError) and error.work_id == work.id:
            log.info("%s", error)
        elif isinstance(error, CalledOff):
            process.ledger.call_off(work)
        elif isinstance(error, HandBack | WorkError):  # of another piece that was in hand with it
            process.ledger.give_back(work)
        else:
            known = isinstance(error, LikenessError | OSError | MemoryError)
            if not known:
                log.exception("work %s (%s) failed", work.id, work.kind)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            recovery = Recovery(process.runtime.catalog, process.settings)
            recovery.recover(work, reason, blameless=known)
    except CatalogUnavailable as unavailable:
        # The lease will run out, and the sweeper sees to it.
        log.warning("work %s (%s): %s", work.id, work.kind, unavailable)


def move_on(process: WorkerProcess, work: Work) -> None:
    """The job goes on to its next stage, or ends, if that was the last of it; workers hear of
    what is ready."""
    try:
        if work.job_id is not None:
            process.upkeep.advance(work.job_id)
        process.hints.send()
    except CatalogUnavailable as error:
        log.warning("%s; the sweeper moves the job on", error)


def job_of(process: WorkerProcess, work: Work) -> Job:
    """The job that a piece is of."""
    assert work.job_id is not None  # only publishing is without
    return process.jobs.get(work.job_id)


def stop_unfinished(held: Held) -> None:
    """Raises what ends work that was not done to its end: HandBack, or CalledOff."""
    if held.why in (Why.STOPPING, Why.LATE):
        raise HandBack
    if held.why is Why.CANCELLED:
        raise CalledOff
