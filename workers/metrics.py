"""What Prometheus reads of a worker. Its processes write their totals to files in the run folder;
the supervisor, which outlives them, adds the files up."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from likeness.catalog.serving.work import Backlog
from likeness.errors import SettingsError
from likeness.telemetry.exposition import QueueCollector, TotalsCollector
from likeness.telemetry.totals import TOTALS, Totals
from workers.health import Health

_EVERY_S = 2.0
_PREFIX = "totals-"


class TotalsFile:
    """The totals of this process, in a file of its own that stays when the process ends."""

    def __init__(self, folder: Path, owner: str) -> None:
        """owner: a name that no other process has."""
        self._path = folder / f"{_PREFIX}{owner.replace('/', '_')}.json"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="totals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The last state is written."""
        self._closed.set()
        self._thread.join()
        self._write()

    def _run(self) -> None:
        while not self._closed.wait(_EVERY_S):
            self._write()

    def _write(self) -> None:
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with suppress(OSError):  # a full disk: told a little later
            beside.write_text(json.dumps(TOTALS.as_dict()))
            beside.replace(self._path)


def read_totals(folder: Path | None) -> Totals:
    """The sum over every process that wrote to the folder, those that ended included."""
    documents = []
    for path in sorted(folder.glob(f"{_PREFIX}*.json")) if folder is not None else ():
        with suppress(OSError, ValueError):
            documents.append(json.loads(path.read_text()))
    return Totals.added(documents)


class WorkerMetrics:
    """What the supervisor knows, for a registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.backlog: Sequence[Backlog] = ()
        self._folder: Path | None = None
        self._health: Health | None = None
        self.registry.register(TotalsCollector(lambda: read_totals(self._folder)))
        self.registry.register(QueueCollector(lambda: self.backlog))
        self.registry.register(_HealthCollector(self))

    def read_from(self, folder: Path) -> None:
        """Where the processes write."""
        self._folder = folder

    def observe(self, health: Health) -> None:
        """How the worker is now."""
        self._health = health

    @property
    def health(self) -> Health | None:
        return self._health


class _HealthCollector(Collector):
    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics

    def describe(self) -> Sequence[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        health = self._metrics.health
        if health is None:
            return
        healthy = GaugeMetricFamily("likeness_worker_healthy", "1 while work gets done.")
        healthy.add_metric([], float(health.healthy))
        restarts = CounterMetricFamily(
            "likeness_worker_restarts", "Worker processes that were replaced."
        )
        restarts.add_metric([], health.restarts)
        yield from (healthy, restarts)
        if health.idle_s is not None:
            idle = GaugeMetricFamily(
                "likeness_worker_idle_seconds", "Since something got done last."
            )
            idle.add_metric([], health.idle_s)
            yield idle


@contextmanager
def serving_metrics(port: int | None) -> Iterator[WorkerMetrics | None]:
    """`GET /metrics` on every address until the block ends; nothing without a port.

    Raises SettingsError when the port is taken.
    """
    if port is None:
        yield None
        return
    metrics = WorkerMetrics()
    try:
        server, thread = start_http_server(port, registry=metrics.registry)
    except OSError as error:
        raise SettingsError(f"--metrics-port {port}: {error.strerror}; choose another") from error
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
