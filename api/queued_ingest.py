"""Images into a collection by workers, where there is a broker: this process embeds none."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from api.ingest import Ingest, Outcome, Refused, uploads_among
from api.metrics import Metrics
from api.pictures import Pictures
from indexer.uploads import Upload
from likeness.catalog.serving.jobs import Job, Jobs
from likeness.catalog.serving.work import Tally
from likeness.runtime import Runtime
from workers.queue import WorkQueue

_LOOK_S = 0.05
_SHARE = 0.8
"""Of the time that a request may take: then the caller is given the job instead."""


class QueuedIngest(Ingest):
    """Uploads are kept where workers can read them, in `uploads/` of the home that all share."""

    def __init__(self, runtime: Runtime, pictures: Pictures, jobs: Jobs, metrics: Metrics) -> None:
        super().__init__(runtime, pictures, jobs, metrics)
        self._queue = WorkQueue(runtime.settings, runtime.catalog)
        self._patience_s = _SHARE * runtime.settings.request_timeout_s

    def close(self) -> None:
        """Jobs go on without this process."""
        super().close()
        self._queue.close()

    async def add(self, collection: str, items: Sequence[Upload | Refused]) -> list[Outcome] | Job:
        """See `Ingest.add`."""
        before = await run_in_threadpool(self._known, collection, uploads_among(items))
        job = await run_in_threadpool(self.add_later, collection, items)
        until = time.monotonic() + self._patience_s
        # Its images are stored before the job has ended: an index may still be renewed.
        while not job.state.final and job.settled < len(items):
            if time.monotonic() > until:
                return job
            await asyncio.sleep(_LOOK_S)
            job = await run_in_threadpool(self._jobs.get, job.id)
        return await run_in_threadpool(self._outcomes, collection, items, before)

    def add_later(self, collection: str, items: Sequence[Upload | Refused]) -> Job:
        """See `Ingest.add_later`."""
        refused = [item for item in items if isinstance(item, Refused)]
        tally = Tally(
            {"failed": len(refused)} if refused else {},
            Counter(item.reason for item in refused),
            [(item.name, item.reason, item.message) for item in refused],
        )
        return self._queue.uploads(collection, uploads_among(items), tally)

    def fetch_later(self, collection: str, urls: Sequence[str]) -> Job:
        """See `Ingest.fetch_later`."""
        for url in urls:
            self._pictures.check_url(url)
        return self._queue.urls(collection, urls)


def open_ingest(runtime: Runtime, pictures: Pictures, jobs: Jobs, metrics: Metrics) -> Ingest:
    """By workers where the settings name a broker, else in this process."""
    kind = QueuedIngest if runtime.settings.broker_url else Ingest
    return kind(runtime, pictures, jobs, metrics)
