"""A worker process within the test's own: real ledger, real handlers, a broker in memory."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from likeness.catalog.serving.jobs import Job
from likeness.runtime import Runtime
from likeness.settings import Settings, load_settings
from tests.fakes.encoder import FakeEncoder
from tests.fakes.runtime import FakeRuntime
from workers.app import make_app
from workers.kinds import KINDS
from workers.process import WorkerProcess
from workers.queue import WorkQueue
from workers.tasks import HANDLERS
from workers.tasks.running import run_ready

BROKER = "memory://"


def worker_settings(home: Path, **settings: object) -> Settings:
    """Of a worker on SQLite in `home`."""
    quick = {"decode_workers": 1, "queue_images": 8, "queue_backoff_s": 0.0, "queue_stint_s": 0.0}
    return load_settings(home=home, broker_url=BROKER, **{**quick, **settings})


@contextmanager
def worker_process(
    settings: Settings, *encoders: FakeEncoder
) -> Iterator[tuple[WorkerProcess, WorkQueue]]:
    """A process that takes work when told to, by `drain`; and the queue that it is given by."""

    def open_runtime(settings: Settings) -> Runtime:
        return FakeRuntime(settings, *(encoders or (FakeEncoder(batch_size=4),)))

    process = WorkerProcess(settings, open_runtime, make_app(settings), None)
    process.start()
    with WorkQueue(settings, process.runtime.catalog) as queue:
        try:
            yield process, queue
        finally:
            process.close()


def drain(process: WorkerProcess, job: Job, *, rounds: int = 60) -> Job:
    """The job when it has ended: every kind of work is asked for in turn, as by hints."""
    for _ in range(rounds):
        for kind in KINDS:
            module, _, name = HANDLERS[kind].partition(":")
            run_ready(process, kind, getattr(importlib.import_module(module), name))
        if (now := process.jobs.get(job.id)).state.final:
            return now
    raise AssertionError(f"not done after {rounds} rounds: {process.jobs.get(job.id)}")
