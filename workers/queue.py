"""Work for workers: what entry points ask for, as jobs in the catalog and hints to the broker.

Imports no task, so that asking costs little and needs no encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from indexer.queued import request_document, request_from
from indexer.service import IndexRequest
from indexer.uploads import Upload
from likeness.catalog import Catalog
from likeness.catalog.serving.jobs import Job, Jobs
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import NewWork, Tally
from likeness.errors import InputError
from likeness.settings import Settings
from workers.app import make_app
from workers.hints import Hints
from workers.kinds import (
    CPU,
    GPU,
    INDEX_JOB,
    PREPARE,
    QUEUE_OF,
    UPLOADS_JOB,
    URGENT,
    URLS_JOB,
    USUAL,
)
from workers.pieces import fetch_work, index_work, publish_work, upload_work, with_stage


class WorkQueue:
    """Thread-safe; close it. Raises SettingsError when the settings name no broker."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings, self._catalog = settings, catalog
        self.ledger, self.upkeep, self.jobs = Ledger(catalog), Upkeep(catalog), Jobs(catalog)
        self._hints = Hints(
            make_app(settings), self.upkeep, again_after_s=2 * settings.queue_sweep_s
        )

    def close(self) -> None:
        self._hints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def index(self, request: IndexRequest, *, rescan: bool = False) -> Job:
        """A job that does what `Indexer.index` does. rescan: workers repeat it now and then.

        What is named must be found under the same name where workers run.
        """
        if not request.sources and not request.lists:
            raise InputError("nothing to index: name a folder, a file, an archive or --from LIST")
        collection = self._catalog.create_collection(request.collection)
        document = {**request_document(request), "rescan": rescan}
        known = bool(self._catalog.spaces(collection.id)) and request.encoder is None
        work = index_work(request.collection, has_space=known, priority=USUAL)
        return self._submit(request.collection, INDEX_JOB, document, work)

    def uploads(self, collection: str, uploads: Sequence[Upload], refused: Tally) -> Job:
        """A job that adds what is kept in the folder of uploads, which workers must share.

        refused: those of the same request that are not, which the job counts as failed.
        """
        names = [upload.name for upload in uploads] + [name for name, _, _ in refused.problems]
        repeated = len(uploads) - len({upload.uri for upload in uploads})
        tally = Tally({**refused.counts, "kept": repeated}, refused.failures, refused.problems)
        work = [
            *self._prepared(collection, upload_work(uploads, self._settings.queue_images)),
            *publish_work(collection, stage=2),
        ]
        request = {"files": names}
        return self._submit(collection, UPLOADS_JOB, request, work, total=len(names), tally=tally)

    def urls(self, collection: str, urls: Sequence[str]) -> Job:
        """A job that fetches pictures, keeps them in that folder, and adds them."""
        work = [
            *self._prepared(collection, fetch_work(urls)),
            *publish_work(collection, stage=2),
        ]
        return self._submit(collection, URLS_JOB, {"urls": list(urls)}, work, total=len(urls))

    def over_collection(self, kind: str, collection: str, request: Mapping[str, Any]) -> Job:
        """A job of one piece over a whole collection. kind: of `workers.kinds.LONG`, thumbnails."""
        self._catalog.collection(collection)
        payload = {"collection": collection, **request}
        return self._submit(collection, kind, dict(request), [NewWork(kind, CPU, payload)])

    def cancel(self, job_id: int) -> Job:
        """See `Upkeep.cancel`."""
        return self.upkeep.cancel(job_id)

    def retry(self, job_id: int) -> int:
        """See `Upkeep.retry`."""
        count = self.upkeep.retry(job_id)
        self.upkeep.advance(job_id)
        self._hints.send()
        return count

    def again(self, job: Job) -> Job:
        """A new job for what an ended one was asked for. Raises InputError where it cannot be."""
        if job.kind == INDEX_JOB:
            request = replace(request_from(job.request), retry_failed=True)
            return self.index(request, rescan=bool(job.request.get("rescan")))
        if job.kind == URLS_JOB:
            return self.urls(job.collection, job.request["urls"])
        if job.kind in QUEUE_OF:
            return self.over_collection(job.kind, job.collection, job.request)
        raise InputError(
            f"job {job.id} ({job.kind}) left nothing that could be tried again; failed images of a "
            "collection are read again by `likeness reindex --retry-failed`"
        )

    def waiting(self, queue: str) -> int | None:
        """Hints that no worker has taken yet; None when the broker cannot be reached."""
        return self._hints.waiting(queue)

    def _submit(
        self,
        collection: str,
        kind: str,
        request: Mapping[str, Any],
        work: Sequence[NewWork],
        *,
        total: int | None = None,
        tally: Tally | None = None,
    ) -> Job:
        job = self.ledger.submit(collection, kind, request, work, total=total, tally=tally)
        self._hints.send()
        return job

    def _prepared(self, collection: str, work: Sequence[NewWork]) -> list[NewWork]:
        """The work, after the collection's space is made if it has none."""
        known = self._catalog.collection(collection)
        if self._catalog.spaces(known.id):
            return list(work)
        later = [with_stage(piece, 1) for piece in work]
        return [NewWork(PREPARE, GPU, {"then": None}, priority=URGENT), *later]
