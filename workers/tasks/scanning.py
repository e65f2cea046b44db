"""Before and between embedding: a collection's space, what its sources hold, what it lacks."""

from __future__ import annotations

import time
from typing import Any

from indexer.plan import SeenUris
from indexer.progress import Progress
from indexer.queued import request_from
from indexer.references import Packed, uris_of
from likeness.catalog.serving.work import NewWork, Tally
from workers.kinds import EMBED, FILL, GPU, QUEUE_OF, SCAN_SLICE_S
from workers.leases import Held, Why
from workers.process import WorkerProcess
from workers.tasks.running import job_of, stop_unfinished

_SCANNED = ("scanned", "kept", "gone", "problems")
_HINT_EVERY_S = 0.5


def prepare(process: WorkerProcess, held: Held) -> None:
    """A new collection has its space; then its sources are scanned, if there are any."""
    job = job_of(process, held.work)
    progress = Progress()
    request = request_from({"collection": job.collection, **job.request})
    process.indexer.prepare(request, progress)
    notices = [("", "notice", text) for text in progress.notices]
    then = held.work.payload["then"]
    add = [NewWork(then, QUEUE_OF[then], priority=held.work.priority)] if then else []
    process.ledger.complete(held.work, Tally(problems=notices), add=add)


def scan(process: WorkerProcess, held: Held) -> None:
    """What the sources hold and the catalog lacks is ready to be embedded, piece by piece."""
    work, job = held.work, job_of(process, held.work)
    held.until = time.monotonic() + SCAN_SLICE_S
    request = request_from(job.request)
    options = {"restore": request.restore}
    progress, handed_out = Progress(), SeenUris()
    _recall(process, job.id, handed_out)
    hinted = 0.0

    def hand_out(page: list[Packed]) -> None:
        nonlocal hinted
        piece = NewWork(
            EMBED, GPU, {**options, "items": page}, images=len(page), priority=work.priority
        )
        process.ledger.report(
            work, _scan_tally(progress), add=[piece], total=progress.counts.scanned
        )
        process.progressed()
        if time.monotonic() - hinted > _HINT_EVERY_S:
            process.hints.send([GPU])
            hinted = time.monotonic()

    whole = process.indexer.scan(
        request,
        handed_out=handed_out,
        hand_out=hand_out,
        piece_images=process.settings.queue_images,
        progress=progress,
        stop=held.stop,
    )
    if not whole:
        stop_unfinished(held)
    if held.why is Why.LOST:
        return
    tally = _scan_tally(progress)
    process.ledger.report(work, tally, total=progress.counts.scanned)
    process.ledger.complete(work, tally)


def gaps(process: WorkerProcess, held: Held) -> None:
    """What images of the collection lack in one of its spaces is ready to be embedded."""
    work, job = held.work, job_of(process, held.work)
    found = process.indexer.gaps(job.collection, piece_images=process.settings.queue_images)
    pieces = [
        NewWork(FILL, GPU, gap, images=gap["images"], priority=work.priority) for gap in found
    ]
    process.ledger.complete(work, add=pieces)


def _recall(process: WorkerProcess, job_id: int, handed_out: SeenUris) -> None:
    """What an earlier attempt has handed out."""
    after = 0
    while page := process.ledger.of_job(job_id, after_id=after, limit=200):
        for piece in page:
            for uri in uris_of(piece.payload):
                handed_out.add(uri)
        after = page[-1].id


def _scan_tally(progress: Progress) -> Tally:
    counts = progress.counts
    failures: dict[str, int] = {}
    for problem in progress.problems:
        failures[problem.code] = failures.get(problem.code, 0) + 1
    problems: list[Any] = [(p.name, p.code, p.reason) for p in progress.problems]
    problems += [("", "notice", text) for text in progress.notices]
    return Tally({name: getattr(counts, name) for name in _SCANNED}, failures, problems)
