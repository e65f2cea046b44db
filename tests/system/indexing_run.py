"""One indexing run in a process of its own, slow enough to be killed at any stage of it.

python -m tests.system.indexing_run HOME SOURCE SECONDS_PER_BATCH [DATABASE_URL]
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.settings import load_settings
from likeness.types import Embeddings, PreparedBatch
from tests.fakes.encoder import FakeEncoder
from tests.fakes.runtime import FakeRuntime


class SlowEncoder(FakeEncoder):
    """A fake that takes its time, as a real one does."""

    def __init__(self, seconds_per_batch: float) -> None:
        super().__init__(batch_size=4)
        self._seconds_per_batch = seconds_per_batch

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        time.sleep(self._seconds_per_batch)
        return super().embed_prepared(batch)


def run(home: Path, source: str, seconds_per_batch: float, database_url: str = "") -> None:
    """Index `source` into the home's default collection, in small transactions."""
    settings = load_settings(
        home=home,
        database_url=database_url or None,
        decode_workers=1,
        commit_rows=8,
        commit_interval_s=0.05,
    )
    with FakeRuntime(settings, SlowEncoder(seconds_per_batch)) as runtime:
        print("ready", flush=True)
        Indexer(runtime).index(
            IndexRequest("default", sources=[source]), Progress(), threading.Event()
        )


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), *sys.argv[4:5])
