"""Traces by OpenTelemetry, off unless a setting names where they go. Without the packages of the
extra `tracing`, and while off, a span costs one comparison."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from likeness.errors import SettingsError

_tracer: Any = None
_provider: Any = None


def configure_tracing(endpoint: str, service: str, *, exporter: Any = None) -> None:
    """Spans of this process go to an OTLP collector from now on. Called by entry points only.

    endpoint: `http://host:4318`; empty leaves traces off. exporter: in place of OTLP, for tests.
    Raises SettingsError when the packages are not installed.
    """
    global _tracer, _provider
    if not endpoint and exporter is None:
        return
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"LIKENESS_TRACES is {endpoint!r}, but OpenTelemetry is not installed: "
            "pip install 'likeness[tracing]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"likeness-{service}"}))
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        url = endpoint.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    _tracer, _provider = provider.get_tracer("likeness"), provider


def shut_down_tracing() -> None:
    """What was recorded is sent, and traces are off."""
    global _tracer, _provider
    provider, _tracer, _provider = _provider, None, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def span(name: str, **attributes: object) -> Iterator[None]:
    """The block is a span, and what is recorded within lies below it."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=_plain(attributes)):
        yield


def record(name: str, began_ns: int, ended_ns: int, **attributes: object) -> None:
    """A span that is over, below the present one. Times: nanoseconds since 1970."""
    if _tracer is not None:
        found = _tracer.start_span(name, start_time=began_ns, attributes=_plain(attributes))
        found.end(ended_ns)


def _plain(attributes: dict[str, object]) -> dict[str, Any]:
    return {
        f"likeness.{name}": value if isinstance(value, str | bool | int | float) else str(value)
        for name, value in attributes.items()
        if value is not None
    }
