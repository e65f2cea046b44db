"""Long work on a collection as jobs: one at a time per process, told as they go on, stoppable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from api.errors import AlreadyRunning
from api.job_thread import JobThread, Stopped
from likeness.catalog.serving.jobs import Job, Jobs, JobState

_LOST_AFTER = timedelta(minutes=2)
_QUEUE_LOST_AFTER = timedelta(days=1)
"""A job that waits gives no sign of life."""


class JobProgress:
    """How far one job is; its work writes, the reporter reads. Each call may raise `Stopped`.

    message: what it is doing. outcome: what there is to say once it is done.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.failures: dict[str, int] = {}
        self.total: int | None = None
        self.message: str | None = None
        self.outcome: str | None = None
        self.stop = threading.Event()

    def note(self, text: str) -> None:
        """The job is doing this now."""
        self.message = text
        self.check()

    def reach(self, name: str, done: int, total: int | None = None) -> None:
        """So many are done, of so many."""
        self.counts[name] = done
        if total is not None:
            self.total = total
        self.check()

    def check(self) -> None:
        if self.stop.is_set():
            raise Stopped


Work = Callable[[JobProgress], None]


class SortingJobs:
    """Runs the jobs that sort collections out. Thread-safe; close it."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lane = ThreadPoolExecutor(1, "sorting")
        self._waiting: dict[tuple[str, str], Job] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def close(self) -> None:
        """The job in hand is asked to stop; those that wait never start."""
        self._stop.set()
        self._lane.shutdown(cancel_futures=True)
        for job in list(self._waiting.values()):
            self._jobs.finish(job.id, JobState.FAILED, "the service was stopped; ask again")

    def settle_lost(self, kinds: frozenset[str]) -> None:
        """Jobs of these kinds whose service died are failed: nobody works on them any more."""
        for job in self._jobs.recent(limit=1000):
            patience = _QUEUE_LOST_AFTER if job.state is JobState.QUEUED else _LOST_AFTER
            silent = datetime.now(UTC) - job.updated_at > patience
            if job.kind in kinds and not job.state.final and silent:
                self._jobs.finish(
                    job.id, JobState.FAILED, "the service stopped meanwhile; ask again"
                )

    def submit(self, kind: str, collection: str, request: Mapping[str, Any], work: Work) -> Job:
        """A job that does the work; the one that is already at it, if it was asked the same.

        Raises AlreadyRunning when one of the kind is at something else in the collection.
        """
        key = (collection, kind)
        with self._lock:
            before = self._waiting.get(key)
            if before is not None:
                now = self._jobs.get(before.id)
                if not now.state.final and dict(now.request) == dict(request):
                    return now
                if not now.state.final:
                    raise AlreadyRunning(
                        f"job {now.id} is at work on {collection!r} ({kind}); wait for it, or "
                        "cancel it",
                        extra={"job": now.id},
                    )
            job = self._jobs.create(collection, kind, request)
            self._waiting[key] = job
            self._lane.submit(self._run, key, job, work)
        return job

    # ---------------------------------------------------------------- in the lane's thread

    def _run(self, key: tuple[str, str], job: Job, work: Work) -> None:
        progress = JobProgress()

        def outcome() -> str | None:
            work(progress)
            return progress.outcome

        try:
            JobThread(
                self._jobs,
                job,
                outcome,
                tell=lambda: self._tell(job, progress),
                stop=progress.stop,
                closing=self._stop,
                cut_short="the service was stopped; ask again",
            ).run()
        finally:
            with self._lock:
                self._waiting.pop(key, None)

    def _tell(self, job: Job, progress: JobProgress) -> JobState:
        return self._jobs.report(
            job.id,
            counts=dict(progress.counts),
            failures=dict(progress.failures),
            total=progress.total,
            message=progress.message,
        )
