"""What one worker process keeps while it lives: catalog, warm encoders, leases."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

from celery import Celery

from indexer.queued import QueuedIndexer
from likeness.catalog.serving.jobs import Jobs
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.upkeep import Upkeep
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.telemetry import pulse
from workers.hints import Hints
from workers.leases import Leases
from workers.rundir import RunDir

OpenRuntime = Callable[[Settings], Runtime]

_LOOK_S = 0.25


class WorkerProcess:
    """Made after the fork, once. Everything is opened when it is first used; close it."""

    def __init__(
        self, settings: Settings, open_runtime: OpenRuntime, app: Celery, run_dir: Path | None
    ) -> None:
        """run_dir: where the supervisor leaves its wishes and finds signs of progress."""
        self.settings, self._app = settings, app
        self.runtime = open_runtime(settings)
        self.owner = new_owner()
        self.run_dir = None if run_dir is None else RunDir(run_dir)
        self.stopping = threading.Event()
        self._aborting = threading.Event()
        self._closed = threading.Event()
        self.leases = Leases(lambda: self.ledger, self.owner, settings.queue_lease_s, self.stopping)
        self._watch = threading.Thread(target=self._look, name="stop-watch", daemon=True)
        self._stop_listening: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Renew leases and watch for the end, in threads; pass on what shows that work goes on."""
        if self.run_dir is not None:
            self.run_dir.introduce(self.owner)
            self._stop_listening = pulse.listen(self.run_dir.progressed)
        self.leases.start()
        self._watch.start()

    def close(self) -> None:
        self._stop_listening()
        self._closed.set()
        self.leases.close()
        if "indexer" in self.__dict__:
            self.indexer.close()
        if "hints" in self.__dict__:
            self.hints.close()
        self.runtime.close()

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.runtime.catalog)

    @cached_property
    def upkeep(self) -> Upkeep:
        return Upkeep(self.runtime.catalog)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.runtime.catalog)

    @cached_property
    def indexer(self) -> QueuedIndexer:
        return QueuedIndexer(self.runtime)

    @cached_property
    def hints(self) -> Hints:
        return Hints(self._app, self.upkeep, again_after_s=2 * self.settings.queue_sweep_s)

    @property
    def aborting(self) -> bool:
        """Whether the time to finish is over: hand back what is in hand."""
        return self._aborting.is_set()

    def progressed(self) -> None:
        """Something got done just now: what health is measured by."""
        if self.run_dir is not None:
            self.run_dir.progressed()

    def busy(self) -> AbstractContextManager[None]:
        """Work is in hand until the block ends; while it is, a supervisor is more patient."""
        return nullcontext() if self.run_dir is None else self.run_dir.busy()

    def _look(self) -> None:
        parent = os.getppid()
        until: float | None = None
        while not self._closed.wait(_LOOK_S):
            asked = self.run_dir is not None and self.run_dir.stop_asked()
            if until is None and (asked or os.getppid() != parent):
                self.stopping.set()
                until = time.monotonic() + 0.8 * self.settings.worker_grace_s
            if until is not None and time.monotonic() >= until:
                self._aborting.set()
                return


def new_owner() -> str:
    """A name for leases that no other process has, and that tells a person where it runs."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
