"""One job carried out in a thread of this process: begun, told as it goes on, stopped, ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from likeness.catalog.serving.jobs import Job, Jobs, JobState
from likeness.errors import LikenessError

log = logging.getLogger(__name__)

_REPORT_S = 0.5


class Stopped(Exception):
    """The job was asked to stop; raised within its work, and by it only."""


@dataclass(frozen=True, slots=True)
class JobThread:
    """How a job is carried out by the thread that calls `run`.

    work: does it; returns what there is to say once it is done; raises Stopped once `stop` is set.
    tell: writes down how far it is, and returns the state it is in.
    closing: set when the service ends; cut_short: what the job says then.
    """

    jobs: Jobs
    job: Job
    work: Callable[[], str | None]
    tell: Callable[[], JobState]
    stop: threading.Event
    closing: threading.Event
    cut_short: str

    def run(self) -> None:
        """The job is done, cancelled, or failed with its reason; nothing is raised by its work."""
        if not self.jobs.start(self.job.id):
            return  # cancelled while it waited
        ended = threading.Event()
        reporter = threading.Thread(
            target=self._report, args=(ended,), name="job-report", daemon=True
        )
        reporter.start()
        state, message = self._ended()
        ended.set()
        reporter.join()
        self.tell()
        self.jobs.finish(self.job.id, state, message)

    def _ended(self) -> tuple[JobState, str | None]:
        try:
            return JobState.DONE, self.work()
        except Stopped:
            if not self.closing.is_set():
                return JobState.CANCELLED, None
            return JobState.FAILED, self.cut_short
        except LikenessError as error:
            return JobState.FAILED, str(error)
        except Exception as error:  # a thread's edge: recorded in the job
            if self.closing.is_set():  # its lanes were closed under it
                return JobState.FAILED, self.cut_short
            log.exception("job %s", self.job.id)
            return JobState.FAILED, f"{type(error).__name__}: {error}"

    def _report(self, ended: threading.Event) -> None:
        while not ended.wait(_REPORT_S):
            try:
                cancelled = self.tell() is JobState.CANCELLING
            except LikenessError:
                log.exception("job %s could not report", self.job.id)
                continue
            if cancelled or self.closing.is_set():
                self.stop.set()
