"""A worker: Celery's process, watched; the sweeper beside it; health by progress.

The watched process is replaced when it dies, and also when it lives but does nothing although there
is work: after a broker was gone, Celery workers are known to stay alive without consuming.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import Backlog, WorkState
from likeness.errors import CatalogUnavailable, LikenessError
from likeness.runtime import Runtime
from likeness.settings import Settings
from workers.app import make_app
from workers.health import Health
from workers.hints import Hints
from workers.metrics import WorkerMetrics
from workers.orders import Orders
from workers.process import new_owner
from workers.rundir import RunDir, cpu_s
from workers.sweeper import Sweeper
from workers.vigil import Seen, Vigil

log = logging.getLogger(__name__)

_LOOK_S = 0.2
_LONGEST_PAUSE_S = 30.0
_SETTLED_S = 60.0
_HEALTH_EVERY_S = 2.0
_KILL_AFTER_S = 5.0
_STALE_LOOK_S = 10.0


class Supervisor:
    """Run it in the main thread of a process; `stop` ends it."""

    def __init__(
        self,
        settings: Settings,
        *,
        queues: Sequence[str],
        concurrency: int,
        command: Sequence[str] = (sys.executable, "-m", "workers.consume"),
        log_level: str = "INFO",
        publish_health: Callable[[Health], None] = lambda _: None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        """command: starts the watched process; its orders are added. Raises SettingsError."""
        self._settings, self._queues, self._command = settings, tuple(queues), tuple(command)
        self._concurrency, self._log_level = concurrency, log_level
        self._publish_health = publish_health
        self._metrics = metrics
        self._app = make_app(settings)
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._restarts = 0
        self._vigil = Vigil(settings.worker_stall_s)
        self._backlog: tuple[float, int] | None = None
        """When the sweeper looked last, and what was due then; None when it cannot look."""
        self._trouble: str | None = None

    def stop(self) -> None:
        """Finish what is in hand within the grace time, or hand it back, then end."""
        self._stop.set()

    def run(self) -> int:
        """Work until stopped; returns the exit status."""
        with tempfile.TemporaryDirectory(prefix="likeness-worker-") as folder:
            run_dir = RunDir(Path(folder))
            if self._metrics is not None:
                self._metrics.read_from(run_dir.path)
            sweeping = threading.Thread(
                target=self._sweep, args=(run_dir,), name="sweeper", daemon=True
            )
            sweeping.start()
            pause_s, next_health = 0.5, 0.0
            self._start(run_dir)
            while not self._stop.wait(_LOOK_S):
                assert self._process is not None
                status = self._process.poll()
                if status is not None:
                    log.error("the worker process ended (%s); another is started", status)
                    if self._stop.wait(pause_s):
                        break
                    lasted = time.monotonic() - self._started
                    pause_s = 0.5 if lasted > _SETTLED_S else min(_LONGEST_PAUSE_S, 2 * pause_s)
                    self._restarts += 1
                    self._start(run_dir)
                elif time.monotonic() >= next_health:
                    next_health = time.monotonic() + _HEALTH_EVERY_S
                    self._look(run_dir)
            self._end(run_dir)
            sweeping.join(timeout=_KILL_AFTER_S)
        return 0

    # ---------------------------------------------------------------- the watched process

    def _start(self, run_dir: RunDir) -> None:
        orders = Orders(
            settings=self._settings.model_dump(mode="json"),
            queues=self._queues,
            concurrency=self._concurrency,
            run_dir=str(run_dir.path),
            log_level=self._log_level,
        )
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, process_group=0)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:  # not in argv: passwords
            pipe.write(orders.as_text().encode())
        self._started = time.monotonic()
        self._vigil.begin(self._started)

    def _end(self, run_dir: RunDir) -> None:
        process = self._process
        if process is None:
            return
        run_dir.ask_to_stop()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self._settings.worker_grace_s)
            except subprocess.TimeoutExpired:
                log.warning("not finished within the grace time; what is in hand is left to others")
        self._kill()

    def _kill(self) -> None:
        """The watched process and its children are gone."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    # ---------------------------------------------------------------- health

    def _look(self, run_dir: RunDir) -> None:
        now = time.monotonic()
        waiting = self._waiting(now)
        computed_s = {pid: cpu_s(pid) for pid in run_dir.busy_pids()}
        verdict = self._vigil.judge(Seen(run_dir.last_sign(), computed_s, waiting), now)
        trouble = self._trouble
        if verdict.stalled:
            what = "its work hangs" if verdict.in_hand else "there is work, but it takes none"
            trouble = f"{what}: nothing got done for {verdict.quiet_s:.0f} s"
        health = Health(
            healthy=trouble is None,
            idle_s=None if verdict.idle_s is None else round(verdict.idle_s, 1),
            waiting=waiting,
            restarts=self._restarts,
            trouble=trouble,
            at=time.time(),
        )
        self._publish_health(health)
        if self._metrics is not None:
            self._metrics.observe(health)
        if verdict.stalled:
            log.error("%s; the worker process is replaced", trouble)
            self._kill()

    def _waiting(self, now: float) -> int | None:
        """Pieces that are due; None: not known, for a look may hang with the database."""
        backlog = self._backlog
        if backlog is None or now - backlog[0] > _STALE_LOOK_S:
            return None
        return backlog[1]

    # ---------------------------------------------------------------- the sweeper's thread

    def _sweep(self, run_dir: RunDir) -> None:
        with Runtime(self._settings) as runtime:
            sweeper: Sweeper | None = None
            upkeep: Upkeep | None = None
            hints: Hints | None = None
            while not self._stop.is_set():
                try:
                    if sweeper is None:
                        upkeep = Upkeep(runtime.catalog)
                        again_after_s = 2 * self._settings.queue_sweep_s
                        hints = Hints(self._app, upkeep, again_after_s=again_after_s)
                        sweeper = Sweeper(runtime, hints, new_owner(), self._queues)
                    sweeper.give_up(run_dir.orphaned())
                    sweeper.sweep()
                    assert upkeep is not None
                    assert hints is not None
                    backlogs = upkeep.backlog()
                    if self._metrics is not None:
                        self._metrics.backlog = backlogs
                    reachable = hints.waiting(self._queues[0]) is not None
                    due = sum(b.pieces for b in backlogs if self._is_due(b))
                    self._backlog = (time.monotonic(), due) if reachable else None
                    self._trouble = None if reachable else "the broker cannot be reached"
                except CatalogUnavailable as error:
                    self._backlog, self._trouble = None, str(error)
                    log.warning("the sweeper waits: %s", error)
                except LikenessError as error:
                    self._trouble = str(error)
                    log.exception("the sweeper could not look")
                except Exception as error:  # a thread's edge: without it, lost work stays lost
                    self._trouble = f"{type(error).__name__}: {error}"
                    log.exception("the sweeper could not look")
                self._stop.wait(min(1.0, self._settings.queue_sweep_s / 2))
            if hints is not None:
                hints.close()

    def _is_due(self, backlog: Backlog) -> bool:
        """Whether this worker should do something about it now."""
        mine = backlog.queue in self._queues and backlog.state is WorkState.READY
        return mine and backlog.waited_s > 0
