"""The process that takes messages: Celery's worker, over what a worker process keeps.

python -m workers.consume   (started by `workers.supervisor`, which writes orders to its input)
"""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
from pathlib import Path

from celery import signals

from likeness.runtime import Runtime
from likeness.settings import load_settings
from likeness.telemetry.logs import configure_logging
from likeness.telemetry.tracing import configure_tracing, shut_down_tracing
from workers.app import make_app
from workers.metrics import TotalsFile
from workers.orders import Orders
from workers.process import OpenRuntime, WorkerProcess
from workers.tasks import register

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_TALKATIVE = ("celery.worker.strategy", "celery.app.trace", "faiss.loader", "kombu")
"""They tell of every message; what is done is told by the piece of work."""


def consume(orders: Orders, open_runtime: OpenRuntime = Runtime) -> None:
    """Take messages until told to stop."""
    settings = load_settings(**orders.settings)
    configure_logging(settings.log_format, orders.log_level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    _die_with_parent()
    app = make_app(settings)
    kept: list[WorkerProcess] = []
    telling: list[TotalsFile] = []

    def begin(**_: object) -> None:
        configure_tracing(settings.traces, "worker")
        process = WorkerProcess(settings, open_runtime, app, Path(orders.run_dir))
        kept.append(process)
        telling.append(TotalsFile(Path(orders.run_dir), process.owner))
        process.start()
        telling[-1].start()

    def end(**_: object) -> None:
        while kept:
            kept.pop().close()
        while telling:
            telling.pop().close()
        shut_down_tracing()

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
    register(app, lambda: kept[-1])
    worker = app.Worker(
        queues=list(orders.queues),
        concurrency=orders.concurrency,
        pool="prefork",
        optimization="fair",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=orders.log_level,
        quiet=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


def _die_with_parent() -> None:
    """Linux: when the supervisor is killed, this process is told to finish and leave."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    consume(Orders.from_text(sys.stdin.read()))
