"""Images into a collection: what callers send or name, at once or as a job.

Batches are added one at a time per process: the stages of indexing share the machine's cores among
themselves. Jobs fetch beside that, so that a slow web server holds up nobody's upload.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from api.job_thread import JobThread, Stopped
from api.metrics import Metrics
from api.pictures import Pictures
from indexer.progress import Progress
from indexer.uploads import Upload, UploadIndexer, UploadStore
from likeness.catalog.records import KnownImage
from likeness.catalog.serving.jobs import Job, Jobs, JobState
from likeness.catalog.serving.upkeep import Upkeep
from likeness.errors import ImageError
from likeness.runtime import Runtime
from likeness.types import ImageState

UPLOADS, URLS = "uploads", "urls"
_CHUNK = 64
_FETCHERS = 4
_JOBS = 2
_LOST_AFTER = timedelta(minutes=2)


class Became(StrEnum):
    """ADDED: it is new here, or came back. KNOWN: it was here already. FAILED: see the reason."""

    ADDED = "added"
    KNOWN = "known"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image. name: what the sender calls it."""

    name: str
    became: Became
    image_id: int | None = None
    sha256: str | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that did not get as far as the pipeline."""

    name: str
    reason: str
    message: str


def uploads_among(items: Sequence[Upload | Refused]) -> list[Upload]:
    """Those that are on disk."""
    return [item for item in items if isinstance(item, Upload)]


class Ingest:
    """The write side of a service. Thread-safe; close it."""

    def __init__(self, runtime: Runtime, pictures: Pictures, jobs: Jobs, metrics: Metrics) -> None:
        self._catalog, self._pictures, self._jobs, self._metrics = (
            runtime.catalog,
            pictures,
            jobs,
            metrics,
        )
        self._store = UploadStore(runtime.settings.uploads_root)
        self._indexer = UploadIndexer(runtime, renews=not runtime.settings.index_interval_s)
        self._lane = ThreadPoolExecutor(1, "ingest")
        self._job_lane = ThreadPoolExecutor(_JOBS, "job")
        self._stop = threading.Event()

    def close(self) -> None:
        """Stop after the batch in hand; what is stored stays, jobs are marked as cut short."""
        self._stop.set()
        self._lane.shutdown(cancel_futures=True)
        self._job_lane.shutdown(cancel_futures=True)

    def settle_lost_jobs(self) -> None:
        """Jobs of a service that died are failed: nobody works on them any more."""
        for job in self._jobs.recent(limit=1000):
            silent = datetime.now(UTC) - job.updated_at > _LOST_AFTER
            lost = job.kind in (UPLOADS, URLS) and not job.state.final and silent
            if lost and not Upkeep(self._catalog).is_queued(job.id):
                message = "the service stopped meanwhile; what was stored stays, send the rest anew"
                self._jobs.finish(job.id, JobState.FAILED, message)

    def keep(self, data: bytes, name: str) -> Upload | Refused:
        """An upload's bytes are on disk, or refused for what they are."""
        try:
            return self._store.keep(data, name)
        except ImageError as error:
            return Refused(name, error.code, str(error))

    def fetch(self, urls: Sequence[str]) -> list[Upload | Refused]:
        """The pictures behind URLs are on disk, in order; a few are fetched at once."""

        def one(url: str) -> Upload | Refused:
            if self._stop.is_set():
                return Refused(url, "stopped", "the service is stopping")
            try:
                return self._store.keep(self._pictures.fetch(url), url, url=url)
            except ImageError as error:
                return Refused(url, error.code, str(error))

        with ThreadPoolExecutor(_FETCHERS, "fetch") as fetchers:
            return list(fetchers.map(one, urls))

    async def add(self, collection: str, items: Sequence[Upload | Refused]) -> list[Outcome] | Job:
        """The uploads are in the collection, or failed; one outcome each, in order. A job where
        that takes longer than a request may."""
        loop = asyncio.get_running_loop()
        work = self._lane.submit(self._add, collection, items, Progress(), self._stop)
        return await asyncio.wrap_future(work, loop=loop)

    def cancel(self, job_id: int) -> Job:
        """The job is asked to stop, whoever does it. Raises JobNotFound."""
        upkeep = Upkeep(self._catalog)
        return upkeep.cancel(job_id) if upkeep.is_queued(job_id) else self._jobs.cancel(job_id)

    def add_later(self, collection: str, items: Sequence[Upload | Refused]) -> Job:
        """A job that does what `add` does."""
        names = [item.name for item in items]
        job = self._jobs.create(collection, UPLOADS, {"files": names}, total=len(items))
        self._job_lane.submit(self._run, job, lambda: iter([list(items)]))
        return job

    def fetch_later(self, collection: str, urls: Sequence[str]) -> Job:
        """A job that fetches pictures and adds them, some at a time."""
        for url in urls:
            self._pictures.check_url(url)
        job = self._jobs.create(collection, URLS, {"urls": list(urls)}, total=len(urls))

        def chunks() -> Iterator[list[Upload | Refused]]:
            for start in range(0, len(urls), _CHUNK):
                yield self.fetch(urls[start : start + _CHUNK])

        self._job_lane.submit(self._run, job, chunks)
        return job

    # ---------------------------------------------------------------- in the lanes' threads

    def _add(
        self,
        collection: str,
        items: Sequence[Upload | Refused],
        progress: Progress,
        stop: threading.Event,
    ) -> list[Outcome]:
        uploads = uploads_among(items)
        before = self._known(collection, uploads)
        for item in items:
            if isinstance(item, Refused):
                progress.problem(item.name, item.reason, item.message, counted_as="failed")
        if uploads:
            self._indexer.add(collection, uploads, progress, stop)
        return self._outcomes(collection, items, before)

    def _known(self, collection: str, uploads: Sequence[Upload]) -> dict[str, KnownImage]:
        known = self._catalog.collection(collection)
        return self._catalog.known_by_uri(known.id, [upload.uri for upload in uploads])

    def _outcomes(
        self,
        collection: str,
        items: Sequence[Upload | Refused],
        before: Mapping[str, KnownImage],
    ) -> list[Outcome]:
        """What became of each since then, from the catalog."""
        known = self._catalog.collection(collection)
        after = self._known(collection, uploads_among(items))
        rows = self._catalog.images(known.id, [row.image_id for row in after.values()])
        outcomes = []
        for item in items:
            if isinstance(item, Refused):
                outcomes.append(
                    Outcome(item.name, Became.FAILED, reason=item.reason, message=item.message)
                )
                continue
            row = after.get(item.uri)
            if row is None:
                message = "the service stopped before it was stored; send it again"
                outcomes.append(
                    Outcome(item.name, Became.FAILED, None, item.sha256, "stopped", message)
                )
                continue
            was = before.get(item.uri)
            became = Became.ADDED
            if row.state is ImageState.FAILED:
                became = Became.FAILED
            elif was is not None and was.state is ImageState.READY:
                became = Became.KNOWN
            full = rows[row.image_id]
            outcomes.append(
                Outcome(item.name, became, full.id, full.sha256, full.reason_code, full.message)
            )
        for outcome in outcomes:
            self._metrics.ingested.labels(outcome.became.value).inc()
            if outcome.became is Became.FAILED:
                self._metrics.failures.labels(outcome.reason or "unknown").inc()
        return outcomes

    def _run(self, job: Job, chunks: Callable[[], Iterator[list[Upload | Refused]]]) -> None:
        """Do a job and tell its row, until done, cancelled or stopped."""
        progress, stop = Progress(), threading.Event()

        def work() -> None:
            for items in chunks():
                self._lane.submit(self._add, job.collection, items, progress, stop).result()
                if stop.is_set():
                    raise Stopped
            if self._stop.is_set():
                raise Stopped

        JobThread(
            self._jobs,
            job,
            work,
            tell=lambda: self._tell(job, progress),
            stop=stop,
            closing=self._stop,
            cut_short="the service was stopped; send the rest anew",
        ).run()

    def _tell(self, job: Job, progress: Progress) -> JobState:
        failures: dict[str, int] = {}
        for problem in progress.problems:
            failures[problem.code] = failures.get(problem.code, 0) + 1
        counts = {name: count for name, count in asdict(progress.counts).items() if count}
        return self._jobs.report(job.id, counts=counts, failures=failures)
