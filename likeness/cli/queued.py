"""Following a job of queued work from the terminal, as if it were done here."""

from __future__ import annotations

import threading
import time
from dataclasses import fields

from indexer.progress import Counts, IndexReport, Problem, Progress
from likeness.catalog import Catalog
from likeness.catalog.serving.jobs import Job, Jobs, JobState
from likeness.errors import CatalogUnavailable

_LOOK_S = 0.25
_NAMES = tuple(field.name for field in fields(Counts))


def follow(jobs: Jobs, job_id: int, progress: Progress, stop: threading.Event) -> Job:
    """Show how far a job is until it has ended, or `stop` is set; the job then."""
    job = jobs.get(job_id)
    while True:
        _show(job, progress)
        if job.state.final or stop.wait(_LOOK_S):
            return job
        try:
            job = jobs.get(job_id)
        except CatalogUnavailable:
            time.sleep(_LOOK_S)  # the work goes on without us; so do we when it is back


def report_of(job: Job, catalog: Catalog, seconds: float) -> IndexReport:
    """What an indexing job did, as a run in this process would say it."""
    spaces = catalog.spaces(catalog.collection(job.collection).id)
    told = [Problem(*problem) for problem in job.problems]
    notices = [problem.reason for problem in told if problem.code == "notice"]
    if job.message:
        notices.append(job.message)
    return IndexReport(
        collection=job.collection,
        encoders=tuple(space.encoder for space in spaces),
        counts=counts_of(job),
        seconds=seconds,
        complete=job.state is JobState.DONE,
        problems=tuple(problem for problem in told if problem.code != "notice"),
        notices=tuple(notices),
    )


def counts_of(job: Job) -> Counts:
    """A job's counts, those that are none included."""
    counts = {name: job.counts.get(name, 0) for name in _NAMES}
    counts["scanned"] = max(counts["scanned"], job.total or 0)
    return Counts(**counts)


def _show(job: Job, progress: Progress) -> None:
    now, before = counts_of(job), progress.counts
    progress.add(**{name: getattr(now, name) - getattr(before, name) for name in _NAMES})
    # The last piece of the scan says how many there are in all.
    progress.scan_done = "scanned" in job.counts and job.total == job.counts["scanned"]
