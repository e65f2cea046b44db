"""Outcomes to the catalog, a transaction per batch: the only moment at which anything is stored."""

from __future__ import annotations

import logging
import time
from collections import Counter

import numpy as np

from indexer.items import Decoded, Ended, Failure, Group, LeftOut, Prepared, Twin, Unchanged
from indexer.load import InFlight, linked_to
from indexer.progress import Progress
from likeness.catalog import Catalog
from likeness.catalog.records import (
    Batch,
    BatchItem,
    CommitResult,
    Failed,
    Filled,
    Linked,
    Moved,
    SourceFacts,
    Stored,
)
from likeness.telemetry.logs import log_ids
from likeness.telemetry.totals import TOTALS, stage
from likeness.types import StoredVectors

log = logging.getLogger(__name__)


class BatchWriter:
    """Collects outcomes in order and commits them when there are enough or they are old enough."""

    def __init__(
        self,
        catalog: Catalog,
        collection_id: int,
        *,
        in_flight: InFlight,
        progress: Progress,
        rows: int,
        interval_s: float,
    ) -> None:
        self._catalog = catalog
        self._collection_id = collection_id
        self._in_flight = in_flight
        self._progress = progress
        self._rows = rows
        self._interval_s = interval_s
        self._reset()

    def add(self, group: Group) -> None:
        """Take a group; commit when the batch is full or its first outcome is old enough."""
        if not self._held:
            self._since = time.monotonic()
        row = 0
        for outcome in group.outcomes:
            self._take(outcome, group.vectors, row)
            row += isinstance(outcome, Prepared)
        late = time.monotonic() - self._since >= self._interval_s
        if self._held >= self._rows or (self._held and late):
            self.flush()

    def flush(self) -> None:
        """Commit what is held. After this returns, it is stored."""
        if not self._held:
            return
        batch = self._batch()
        result = CommitResult(0)
        if batch.items:
            with stage("commit", images=len(batch.items)):
                result = self._catalog.commit_batch(self._collection_id, batch)
        self._account(result)

    def _end(self, end: Ended) -> None:
        with stage("commit", images=self._held):
            result = end.settle(self._batch(), self._gained, tuple(self._failures))
        if result is None:
            self._in_flight.discard(self._hashes)
            self._reset()
        else:
            self._account(result)

    def _batch(self) -> Batch:
        vectors = {space_id: np.stack(rows) for space_id, rows in self._vectors.items()}
        return Batch(self._outcomes, vectors)

    def _gained(self, result: CommitResult) -> dict[str, int]:
        refreshed = sum(image_id in self._unchanged for image_id in result.moved)
        failed = sum(isinstance(outcome, Failed) for outcome in self._outcomes)
        failed_as_before = failed - len(result.failed)
        return {
            "stored": len(result.stored),
            "linked": len(result.linked),
            "moved": len(result.moved) - refreshed,
            "filled": len(result.filled),
            "kept": len(result.skipped) - failed_as_before + refreshed,
            "removed": self._left_out,
            "failed": len(self._failures),
        }

    def _account(self, result: CommitResult) -> None:
        self._in_flight.discard(self._hashes)
        gained = self._gained(result)
        TOTALS.became(gained, Counter(failed.code for failed in self._failures))
        del gained["failed"]
        self._progress.add(**gained)
        self._tell_of_failures(result)
        for failed in self._failures:
            self._progress.problem(
                failed.source.path, failed.code, failed.message, counted_as="failed"
            )
        self._reset()

    def _tell_of_failures(self, result: CommitResult) -> None:
        rows = [failure for failure in self._failures if failure.filling is None]
        known = result.failed if len(result.failed) == len(rows) else (None,) * len(rows)
        ids = {id(failure): image_id for failure, image_id in zip(rows, known, strict=True)}
        for failure in self._failures:
            filling = failure.filling
            image_id = filling.image_id if filling is not None else ids[id(failure)]
            with log_ids(image_id=image_id):
                log.info("%s", failure.message, extra={"reason": failure.code})

    @property
    def _held(self) -> int:
        return len(self._outcomes) + len(self._failures) + self._left_out

    def _reset(self) -> None:
        self._outcomes: list[BatchItem] = []
        self._vectors: dict[int, list[StoredVectors]] = {}
        self._rows_of: dict[str, Prepared | Failure] = {}
        self._row_of: dict[str, int] = {}
        self._unchanged: set[int] = set()
        self._failures: list[Failure] = []
        self._hashes: list[str] = []
        self._left_out = 0
        self._since = time.monotonic()

    def _take(self, outcome: Decoded, vectors: dict[int, StoredVectors], row: int) -> None:
        match outcome:
            case Prepared():
                self._take_prepared(outcome, vectors, row)
            case Failure():
                self._take_failure(outcome)
            case Twin():
                self._take_twin(outcome.source)
            case LeftOut():
                self._left_out += 1
            case Ended():
                self._end(outcome)
            case Unchanged():
                self._unchanged.add(outcome.image_id)
                self._outcomes.append(Moved(outcome.source, outcome.image_id, outcome.source.uri))
            case Linked() | Moved():
                self._outcomes.append(outcome)

    def _take_prepared(
        self, outcome: Prepared, vectors: dict[int, StoredVectors], row: int
    ) -> None:
        number = 0
        for space_id, rows in vectors.items():
            held = self._vectors.setdefault(space_id, [])
            number = len(held)
            held.append(rows[row])
        if outcome.filling is not None:
            self._outcomes.append(Filled(outcome.filling.image_id, number))
            return
        self._outcomes.append(Stored(outcome.source, outcome.image.facts, number))
        self._rows_of[outcome.source.sha256] = outcome
        self._row_of[outcome.source.sha256] = number
        self._hashes.append(outcome.source.sha256)

    def _take_failure(self, outcome: Failure) -> None:
        self._failures.append(outcome)
        if outcome.filling is not None:
            return
        self._outcomes.append(Failed(outcome.source, outcome.code, outcome.message))
        if outcome.source.sha256:
            self._rows_of[outcome.source.sha256] = outcome
            self._hashes.append(outcome.source.sha256)

    def _take_twin(self, source: SourceFacts) -> None:
        first = self._rows_of.get(source.sha256)
        if isinstance(first, Prepared):
            number = self._row_of[source.sha256]
            self._outcomes.append(Stored(source, first.image.facts, number))
        elif isinstance(first, Failure):
            self._take_failure(Failure(source, first.code, first.message))
        else:
            self._take_committed_twin(source)

    def _take_committed_twin(self, source: SourceFacts) -> None:
        rows = self._catalog.known_by_hash(self._collection_id, [source.sha256])[source.sha256]
        stored = [row for row in rows if row.has_embedding]
        linked = linked_to(source, stored, self._catalog, self._collection_id)
        if linked is not None:
            self._outcomes.append(linked)
        else:
            code = rows[0].reason_code or "corrupt"
            message = f"{source.path}: same bytes as {rows[0].uri}, which failed"
            self._take_failure(Failure(source, code, message))
