"""Numbers for Prometheus, read when it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from likeness.telemetry.totals import TOTALS, Totals


class Queued(Protocol):
    """Work of one queue, kind and state; see `likeness.catalog.serving.work.Backlog`."""

    @property
    def queue(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def pieces(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def waited_s(self) -> float: ...


class TotalsCollector(Collector):
    """Stage times, outcomes, failures by reason and GPU memory."""

    def __init__(self, totals: Callable[[], Totals] | None = None) -> None:
        """totals: of all processes that count; None: of this one."""
        self._totals = totals or (lambda: Totals.added([TOTALS.as_dict()]))

    def describe(self) -> Sequence[Metric]:
        """Nothing: asked at registration, before there is anything to tell."""
        return ()

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        seconds = CounterMetricFamily(
            "likeness_stage_seconds", "Seconds that stages worked.", labels=["stage"]
        )
        images = CounterMetricFamily(
            "likeness_stage_images", "Images that stages worked on.", labels=["stage"]
        )
        for name, value in sorted(totals.stage_seconds.items()):
            seconds.add_metric([name], value)
        for name, count in sorted(totals.stage_images.items()):
            images.add_metric([name], count)
        indexed = CounterMetricFamily(
            "likeness_images_indexed", "Images settled, by outcome.", labels=["outcome"]
        )
        for name, count in sorted(totals.outcomes.items()):
            indexed.add_metric([name], count)
        failed = CounterMetricFamily(
            "likeness_index_failures",
            "Images that could not be used, by reason.",
            labels=["reason"],
        )
        for name, count in sorted(totals.failures.items()):
            failed.add_metric([name], count)
        memory = GaugeMetricFamily(
            "likeness_gpu_memory_bytes",
            "Memory of the GPU: used by anybody, in all, and reserved by this worker.",
            labels=["device", "kind"],
        )
        for name, size in sorted(totals.gpu.items()):
            memory.add_metric(name.split(" ", 1), size)
        yield from (seconds, images, indexed, failed, memory)


class QueueCollector(Collector):
    """How much work there is, by queue, kind and state."""

    def __init__(self, backlog: Callable[[], Sequence[Queued]]) -> None:
        """backlog: raises nothing; empty where it cannot be told."""
        self._backlog = backlog

    def describe(self) -> Sequence[Metric]:
        """As above."""
        return ()

    def collect(self) -> Iterator[Metric]:
        labels = ["queue", "kind", "state"]
        pieces = GaugeMetricFamily("likeness_queue_pieces", "Pieces of work.", labels=labels)
        images = GaugeMetricFamily("likeness_queue_images", "Images of that work.", labels=labels)
        waited = GaugeMetricFamily(
            "likeness_queue_oldest_seconds",
            "How long the oldest of it has been due.",
            labels=labels,
        )
        for entry in self._backlog():
            key = [entry.queue, entry.kind, str(entry.state)]
            pieces.add_metric(key, entry.pieces)
            images.add_metric(key, entry.images)
            waited.add_metric(key, entry.waited_s)
        yield from (pieces, images, waited)
