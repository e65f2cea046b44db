"""What keeps queued work going when messages, workers or the broker are lost.

Every worker's supervisor sweeps, one of them at a time: leases that ran out are recovered, jobs
whose work is done are moved on, ready work is hinted at again. SQL is all that it needs to know.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from indexer.queued import QueuedIndexer
from likeness.catalog import Catalog
from likeness.catalog.serving.jobs import JobState
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.spaces import named_spaces
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import NewWork
from likeness.runtime import Runtime
from workers.hints import Hints
from workers.kinds import CPU, INDEX_JOB, PUBLISH, QUEUES, USUAL
from workers.pieces import index_work
from workers.recovery import LOST, Recovery

log = logging.getLogger(__name__)


class Sweeper:
    """One look at a time; `sweep` is for a thread that calls it now and then."""

    def __init__(self, runtime: Runtime, hints: Hints, owner: str, queues: Sequence[str]) -> None:
        """queues: those that this worker takes work from; only where it publishes does it look
        whether indexes need to be renewed, since they lie on its disk."""
        self._runtime, self._settings = runtime, runtime.settings
        self._hints, self._owner, self._queues = hints, owner, queues
        self._catalog: Catalog = runtime.catalog
        self._ledger, self._upkeep = Ledger(self._catalog), Upkeep(self._catalog)
        self._indexer = QueuedIndexer(runtime)

    def sweep(self) -> bool:
        """Look after everything that is due; False when another did so just now.

        Raises CatalogError.
        """
        if not self._upkeep.take_duty("sweep", self._owner, every_s=self._settings.queue_sweep_s):
            return False
        self._recover_lapsed()
        for job_id in self._upkeep.jobs_to_advance():
            self._upkeep.advance(job_id)
        if self._is_due("compact", self._settings.compact_s) and CPU in self._queues:
            self._renew_indexes()
        if self._is_due("rescan", self._settings.rescan_s):
            self._rescan()
        self._hints.send(QUEUES)
        return True

    def give_up(self, owners: Sequence[str]) -> None:
        """What dead processes held is taken up at once. Raises CatalogError."""
        if sum(self._upkeep.end_leases_of(owner) for owner in owners):
            self._recover_lapsed()
            self._hints.send(QUEUES)

    def _recover_lapsed(self) -> None:
        recovery = Recovery(self._catalog, self._settings)
        for work in self._upkeep.lapsed():
            recovery.recover(work, LOST)

    def _is_due(self, duty: str, every_s: float) -> bool:
        return every_s > 0 and self._upkeep.take_duty(duty, self._owner, every_s=every_s)

    def _renew_indexes(self) -> None:
        shared = self._catalog.engine.dialect.name != "sqlite"
        for name, space in named_spaces(self._catalog):
            if self._indexer.is_behind(space, others_publish=shared):
                piece = NewWork(
                    PUBLISH, CPU, {"collection": name, "space": space.id}, key=f"publish:{space.id}"
                )
                self._ledger.add([piece])

    def _rescan(self) -> None:
        """Sources whose last request says so are indexed again, unless that is going on."""
        for job in self._upkeep.requests(INDEX_JOB):
            if job.state in (JobState.DONE, JobState.FAILED) and job.request.get("rescan"):
                log.info("job %s: its sources are looked at again", job.id)
                known = bool(self._catalog.spaces(self._catalog.collection(job.collection).id))
                work = index_work(job.collection, has_space=known, priority=USUAL)
                self._ledger.submit(job.collection, INDEX_JOB, job.request, work)
