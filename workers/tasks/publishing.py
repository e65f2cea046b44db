"""Publishing: indexes that have fallen behind are built anew."""

from __future__ import annotations

from workers.leases import Held
from workers.process import WorkerProcess


def publish(process: WorkerProcess, held: Held) -> None:
    """The spaces of a collection, or the one that is named, have an index that is up to date.

    Two that do this at once build one after the other, and the second finds nothing to do.
    """
    payload = held.work.payload
    collection = payload["collection"]
    if "space" in payload:
        process.indexer.publish_space(collection, payload["space"])
    else:
        process.indexer.publish_due(collection)
    process.ledger.complete(held.work)
