"""What Prometheus reads: requests, questions, batches, stages, images."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MEDIA_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "likeness_http_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "likeness_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_sizes = Histogram(
            "likeness_search_batch_questions",
            "Questions that were encoded and asked together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "likeness_search_stage_seconds",
            "Time per stage of a search.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "likeness_search_waiting", "Questions waiting for a lane.", registry=self.registry
        )
        self.ingested = Counter(
            "likeness_images_added",
            "Images that came in by the API, by outcome.",
            ("outcome",),
            registry=self.registry,
        )
        self.failures = Counter(
            "likeness_images_failed",
            "Images that came in by the API and could not be used, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.ready = Gauge(
            "likeness_ready", "1 once indexes are open and encoders warm.", registry=self.registry
        )

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
