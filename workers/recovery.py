"""Work that did not succeed: tried again, cut up, or laid aside with its reason.

Who is to blame is not known when a worker dies. So a piece that goes wrong twice is cut up until
the image that does it stands alone; that one is listed as failed, and the others are stored.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from indexer.references import Packed, facts_of
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, Failed
from likeness.catalog.serving.jobs import Jobs
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.work import NewWork, Tally, Work
from likeness.errors import WorkError
from likeness.settings import Settings
from workers.kinds import EMBED

log = logging.getLogger(__name__)

CUT_AFTER = 2
_PARTS = 8
_SUSPECT_ATTEMPTS = 3
"""Of an image that stands alone because its piece went wrong: it is the one, or was unlucky."""
_LONGEST_S = 300.0
_LAST = 9

LOST_CODE = "worker_lost"
LOST = "its worker was lost: killed, out of memory, or cut off from the database"


@dataclass(frozen=True, slots=True)
class Recovery:
    """catalog: of the ledger."""

    catalog: Catalog
    settings: Settings

    def recover(self, work: Work, reason: str, *, blameless: bool = False) -> None:
        """A leased piece went wrong. blameless: by its surroundings, so no image is to blame."""
        ledger = Ledger(self.catalog)
        items: Sequence[Packed] = work.payload.get("items", ()) if work.kind == EMBED else ()
        if not blameless and len(items) > 1 and work.attempts >= CUT_AFTER:
            log.warning("work %s (%s) is cut up: %s", work.id, work.kind, reason)
            ledger.replace(work, _parts(work, items))
            return
        suspect = len(items) == 1 and work.payload.get("suspect", False)
        limit = _SUSPECT_ATTEMPTS if suspect and not blameless else self.settings.queue_attempts
        if work.attempts < limit:
            retry_in_s = self._backoff_s(work)
            log.warning(
                "work %s (%s) is tried again in %.1f s, attempt %d failed: %s",
                work.id, work.kind, retry_in_s, work.attempts, reason,
            )  # fmt: skip
            ledger.fail(work, reason, retry_in_s=retry_in_s)
        elif len(items) == 1 and not blameless:
            log.error("work %s (%s) is given up: %s", work.id, work.kind, reason)
            self._list_as_failed(ledger, work, items[0], reason)
        else:
            log.error("work %s (%s) is dead: %s", work.id, work.kind, reason)
            ledger.fail(work, reason, retry_in_s=None)

    def _backoff_s(self, work: Work) -> float:
        return float(min(_LONGEST_S, self.settings.queue_backoff_s * 2 ** (work.attempts - 1)))

    def _list_as_failed(self, ledger: Ledger, work: Work, item: Packed, reason: str) -> None:
        facts = facts_of(item)
        assert work.job_id is not None  # images come by jobs only
        job = Jobs(self.catalog).get(work.job_id)
        message = f"{facts.path}: given up after {work.attempts} attempts; {reason}"
        problem = (facts.path, LOST_CODE, message)
        tally = Tally({"failed": 1}, {LOST_CODE: 1}, [problem])
        collection = self.catalog.collection(job.collection)
        try:
            self.catalog.commit_batch(
                collection.id,
                Batch([Failed(facts, LOST_CODE, message)]),
                first=lambda connection: ledger.take_completion(connection, work),
                last=lambda connection, _: ledger.count(connection, work, tally),
            )
        except WorkError as error:
            log.info("%s", error)


def _parts(work: Work, items: Sequence[Packed]) -> list[NewWork]:
    size = -(-len(items) // _PARTS)
    rest: dict[str, Any] = {k: v for k, v in work.payload.items() if k != "items"}
    return [
        NewWork(
            work.kind,
            work.queue,
            {**rest, "items": list(items[start : start + size]), "suspect": True},
            images=len(items[start : start + size]),
            priority=min(work.priority + 1, _LAST),
        )
        for start in range(0, len(items), size)
    ]
