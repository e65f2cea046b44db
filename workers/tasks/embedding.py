"""Embedding: pieces of a job, one after another without a pause, a transaction for each."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from indexer.items import Ended, Failure, Lacking, Piece, Settle, Unchanged, Wanted
from indexer.progress import Progress
from indexer.references import unpack_reference
from likeness.catalog.records import Batch, CommitResult
from likeness.catalog.serving.jobs import Job
from likeness.catalog.serving.work import Tally, Work
from likeness.errors import AlreadyDone, CatalogUnavailable
from workers.kinds import INDEX_JOB
from workers.leases import Held, Why
from workers.process import WorkerProcess
from workers.tasks.running import HandBack, end_badly, job_of

log = logging.getLogger(__name__)

_PATIENCE_S = 90.0
"""What is embedded waits this long for a database that cannot be reached."""
_PROBLEMS = 20


def embed(process: WorkerProcess, held: Held) -> None:
    """New images are stored, and further pieces of the same job after them."""
    _Stint(process, held, job_of(process, held.work)).run()


def fill(process: WorkerProcess, held: Held) -> None:
    """Stored images have an embedding in a further space."""
    _Stint(process, held, job_of(process, held.work)).run()


class _Stint:
    """Pieces of one job and kind, read and decoded ahead, until there are no more or it is time.

    The encoder does not wait between pieces, and a message serves for many of them.
    """

    def __init__(self, process: WorkerProcess, first: Held, job: Job) -> None:
        self._process, self._first, self._job = process, first, job
        self._open: list[Held] = [first]
        self._until = time.monotonic() + process.settings.queue_stint_s
        self._options = _Options.of(first.work)

    def run(self) -> None:
        """Do them. What is in hand when something goes wrong is recovered, each by itself."""
        try:
            self._process.indexer.embed_pieces(
                self._job.collection,
                self._pieces(),
                restore=self._options.restore,
                space_id=self._options.space_id,
                progress=Progress(),
                named=self._job.request["sources"] if self._job.kind == INDEX_JOB else (),
            )
        except Exception as error:  # noqa: BLE001 - a process's edge: recorded in the ledger
            for held in self._open:
                end_badly(self._process, held, error)
        finally:
            for held in self._open:
                self._process.leases.release(held.work)

    def _pieces(self) -> Iterator[Piece]:
        held: Held | None = self._first
        while held is not None:
            items = self._items(held.work)
            yield Piece(_while_wanted(items, self._process, self._open), Ended(self._settle(held)))
            held = self._next(held.work)

    def _next(self, before: Work) -> Held | None:
        process, kind = self._process, before.kind
        suspect = before.payload.get("suspect", False)  # it shall take no other down with it
        if suspect or process.stopping.is_set() or time.monotonic() > self._until:
            return None
        lease_s = process.settings.queue_lease_s
        work = process.ledger.claim_next(process.owner, lease_s, kind=kind, job_id=self._job.id)
        if work is None:
            return None
        if work.payload.get("suspect", False) or _Options.of(work) != self._options:
            process.ledger.give_back(work)
            return None
        held = process.leases.hold(work)
        self._open.append(held)
        return held

    def _items(self, work: Work) -> Sequence[Wanted | Unchanged | Lacking]:
        payload = work.payload
        if "items" in payload:
            return [unpack_reference(packed) for packed in payload["items"]]
        return self._process.indexer.lacking(self._job.collection, payload)

    def _settle(self, held: Held) -> Settle:
        def settle(
            batch: Batch,
            gained: Callable[[CommitResult], Mapping[str, int]],
            failures: Sequence[Failure],
        ) -> CommitResult | None:
            result = self._commit(held.work, batch, gained, failures)
            self._process.progressed()
            self._open.remove(held)
            self._process.leases.release(held.work)
            return result

        return settle

    def _commit(
        self,
        work: Work,
        batch: Batch,
        gained: Callable[[CommitResult], Mapping[str, int]],
        failures: Sequence[Failure],
    ) -> CommitResult | None:
        process = self._process
        catalog, ledger = process.runtime.catalog, process.ledger
        codes = Counter(failure.code for failure in failures)
        problems = [(f.source.path, f.code, f.message) for f in failures[:_PROBLEMS]]

        def tally(result: CommitResult) -> Tally:
            counts = {name: count for name, count in gained(result).items() if count}
            return Tally(counts, codes, problems)

        until = time.monotonic() + _PATIENCE_S
        pause_s = 0.1
        while True:
            try:
                return catalog.commit_batch(
                    self._collection_id,
                    batch,
                    first=lambda connection: ledger.take_completion(connection, work),
                    last=lambda connection, result: ledger.count(connection, work, tally(result)),
                )
            except AlreadyDone:
                return None  # it was committed, and the answer was lost on the way
            except CatalogUnavailable as error:
                if time.monotonic() > until or process.aborting:
                    raise
                log.warning("what is embedded waits for the database: %s", error)
                time.sleep(pause_s)
                pause_s = min(2.0, 2 * pause_s)

    @property
    def _collection_id(self) -> int:
        return self._process.runtime.catalog.collection(self._job.collection).id


@dataclass(frozen=True, slots=True)
class _Options:
    """What pieces must have in common to be done in one go."""

    restore: bool
    space_id: int | None

    @classmethod
    def of(cls, work: Work) -> _Options:
        payload = work.payload
        return cls(bool(payload.get("restore")), payload.get("space"))


def _while_wanted(
    items: Sequence[Wanted | Unchanged | Lacking], process: WorkerProcess, in_hand: Sequence[Held]
) -> Iterator[Wanted | Unchanged | Lacking]:
    """The items, until they are to be handed back, or are somebody else's by now."""
    for item in items:
        if process.aborting:
            raise HandBack
        if any(held.why is Why.LOST for held in list(in_hand)):
            raise HandBack
        yield item
