"""Pictures that a caller of the API named by URL: kept in the folder of uploads, then embedded."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from indexer.limits import callers_limits
from indexer.sources.web import WebReader
from indexer.uploads import Upload, UploadStore
from likeness.catalog.serving.work import Tally
from likeness.errors import ImageError
from workers.leases import Held
from workers.pieces import upload_work
from workers.process import WorkerProcess

_FETCHERS = 4


def fetch(process: WorkerProcess, held: Held) -> None:
    """The pictures are on disk and ready to be embedded, or listed with the reason in the job."""
    settings, urls = process.settings, held.work.payload["urls"]
    store, web = UploadStore(settings.uploads_root), WebReader(callers_limits(settings))

    def one(url: str) -> Upload | ImageError:
        try:
            return store.keep(web.read(url), url, url=url)
        except ImageError as error:
            return error
        finally:
            process.progressed()

    try:
        with ThreadPoolExecutor(_FETCHERS, "fetch") as fetchers:
            found = list(zip(urls, fetchers.map(one, urls), strict=True))
    finally:
        web.close()
    uploads = [item for _, item in found if isinstance(item, Upload)]
    failed = [(url, item) for url, item in found if isinstance(item, ImageError)]
    repeated = len(uploads) - len({upload.uri for upload in uploads})
    tally = Tally(
        {"failed": len(failed), "kept": repeated},
        Counter(error.code for _, error in failed),
        [(url, error.code, str(error)) for url, error in failed],
    )
    process.ledger.complete(held.work, tally, add=upload_work(uploads, settings.queue_images))
