"""Logs, counts and traces of a process; nothing here starts a server."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from indexer.flow import Prefetch
from likeness.catalog.serving.work import Backlog, WorkState
from likeness.errors import SettingsError
from likeness.telemetry import totals as totals_module
from likeness.telemetry import tracing
from likeness.telemetry.exposition import QueueCollector, TotalsCollector
from likeness.telemetry.logs import JsonLines, TextLines, configure_logging, current_ids, log_ids
from likeness.telemetry.totals import Totals, stage, timed
from workers.health import Health
from workers.metrics import TotalsFile, WorkerMetrics, read_totals, serving_metrics


@pytest.fixture
def totals(monkeypatch: pytest.MonkeyPatch) -> Totals:
    """Fresh totals in place of the process's own."""
    fresh = Totals()
    for module in (totals_module, sys.modules["workers.metrics"]):
        monkeypatch.setattr(module, "TOTALS", fresh)
    return fresh


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own that writes JSON lines."""
    stream, logger = io.StringIO(), logging.getLogger("test.telemetry")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel("INFO")
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_carries_the_ids_around_it(
    logged: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = logged
    with log_ids(job_id=3, work_id=None), log_ids(image_id=7):
        logger.warning("no %s", "picture", extra={"reason": "corrupt"})
    logger.info("after")
    first, second = lines(stream)
    assert (first["job_id"], first["image_id"], first["reason"]) == (3, 7, "corrupt")
    assert (first["level"], first["message"], first["logger"]) == (
        "warning",
        "no picture",
        "test.telemetry",
    )
    assert first["time"].endswith("+00:00")
    assert "work_id" not in first
    assert "job_id" not in second


def test_an_exception_is_one_line_and_odd_values_are_words(
    logged: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = logged
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed", extra={"path": Path("/größe")})
    (line,) = lines(stream)
    assert "ValueError: two\nlines" in line["exception"]
    assert line["path"] == "/größe"


def test_a_line_for_people_ends_with_the_ids() -> None:
    record = logging.makeLogRecord({"msg": "hello", "levelname": "INFO", "name": "a.b"})
    with log_ids(job_id=3):
        assert TextLines().format(record).endswith("INFO a.b: hello [job_id=3]")
    assert TextLines().format(record).endswith("hello")


def test_threads_of_the_pipeline_see_the_ids_of_who_waits_for_them() -> None:
    with log_ids(job_id=5), Prefetch((current_ids() for _ in range(1)), 1, "x") as items:
        assert list(items) == [{"job_id": 5}]


def test_configuring_replaces_what_was_configured_and_leaves_other_handlers() -> None:
    root = logging.getLogger()
    others, level = list(root.handlers), root.level
    try:
        for form in ("json", "text", "json"):
            configure_logging(form, "WARNING", stream=io.StringIO())  # type: ignore[arg-type]
        ours = [handler for handler in root.handlers if handler not in others]
        assert len(ours) == 1
        assert set(others) <= set(root.handlers)
    finally:
        for handler in [h for h in root.handlers if h not in others]:
            root.removeHandler(handler)
        root.setLevel(level)


def test_stages_are_counted_also_when_they_fail(totals: Totals) -> None:
    with stage("embed", images=8):
        pass
    with pytest.raises(ValueError, match="x"), stage("embed", images=2):
        raise ValueError("x")
    assert totals.stage_images == {"embed": 10}
    assert totals.stage_seconds["embed"] > 0


def test_timed_counts_items_and_the_time_to_come_by_them(totals: Totals) -> None:
    assert list(timed(iter("abc"), "scan")) == ["a", "b", "c"]
    assert totals.stage_images == {"scan": 3}
    taken = timed(iter("abc"), "scan")
    assert next(taken) == "a"
    taken.close()  # type: ignore[attr-defined]
    assert totals.stage_images == {"scan": 4}


def test_totals_of_processes_add_up_and_the_memory_of_a_device_is_counted_once() -> None:
    one = Totals({"embed": 1.5}, {"embed": 3}, {"stored": 3}, {"corrupt": 1}).as_dict()
    two = Totals({"embed": 1.0, "read": 2.0}, {"embed": 4}, {"stored": 4}, {}).as_dict()
    for document in (one, two):
        document["gpu"] = {"cuda:0 used": 500, "cuda:0 total": 1000, "cuda:0 ours": 200}
    added = Totals.added([one, two])
    assert added.stage_seconds == {"embed": 2.5, "read": 2.0}
    assert (added.outcomes, added.failures) == ({"stored": 7}, {"corrupt": 1})
    assert added.gpu == {"cuda:0 used": 500, "cuda:0 total": 1000, "cuda:0 ours": 400}


class FakeCuda:
    """What is asked of torch.cuda, of a machine with one GPU."""

    def is_available(self) -> bool:
        return True

    is_initialized = is_available

    def device_count(self) -> int:
        return 1

    def mem_get_info(self, device: int) -> tuple[int, int]:
        return 300, 1000

    def memory_reserved(self, device: int) -> int:
        return 200


def test_memory_of_a_gpu_is_told_once_there_is_one(
    totals: Totals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert totals.as_dict()["gpu"] == {}
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=FakeCuda()))  # type: ignore[arg-type]
    assert totals.as_dict()["gpu"] == {
        "cuda:0 used": 700, "cuda:0 total": 1000, "cuda:0 ours": 200
    }  # fmt: skip


def test_many_threads_lose_no_count(totals: Totals) -> None:
    def work() -> None:
        for _ in range(500):
            totals.took("x", 0.0, 1)
            totals.became({"stored": 1, "kept": 0}, {"corrupt": 1})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (totals.stage_images, totals.outcomes) == ({"x": 4000}, {"stored": 4000})


def exposed(*collectors: Any) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def test_prometheus_reads_stages_outcomes_failures_memory_and_the_queue() -> None:
    totals = Totals({"embed": 2.0}, {"embed": 5}, {"stored": 5}, {"corrupt": 2}, {"cuda:0 used": 7})
    backlog = [Backlog("gpu", "embed", WorkState.READY, 3, 700, 12.5)]
    text = exposed(TotalsCollector(lambda: totals), QueueCollector(lambda: backlog))
    for line in (
        'likeness_stage_seconds_total{stage="embed"} 2.0',
        'likeness_stage_images_total{stage="embed"} 5.0',
        'likeness_images_indexed_total{outcome="stored"} 5.0',
        'likeness_index_failures_total{reason="corrupt"} 2.0',
        'likeness_gpu_memory_bytes{device="cuda:0",kind="used"} 7.0',
        'likeness_queue_pieces{kind="embed",queue="gpu",state="ready"} 3.0',
        'likeness_queue_images{kind="embed",queue="gpu",state="ready"} 700.0',
        'likeness_queue_oldest_seconds{kind="embed",queue="gpu",state="ready"} 12.5',
    ):
        assert line in text, text


def test_a_workers_counters_survive_its_processes(tmp_path: Path, totals: Totals) -> None:
    metrics = WorkerMetrics()
    metrics.read_from(tmp_path)
    for number in range(3):  # three processes, one after the other
        file = TotalsFile(tmp_path, f"host:{number}/x")
        totals.took("embed", 1.0, 2)
        file.start()
        file.close()
    (tmp_path / "totals-broken.json").write_text("{")
    assert read_totals(tmp_path).stage_images == {"embed": 2 + 4 + 6}
    assert read_totals(None).stage_images == {}
    metrics.observe(Health(False, 12.0, 3, 2, "stalled", 0.0))
    text = generate_latest(metrics.registry).decode()
    assert 'likeness_stage_images_total{stage="embed"} 12.0' in text
    assert "likeness_worker_healthy 0.0" in text
    assert "likeness_worker_restarts_total 2.0" in text
    assert "likeness_worker_idle_seconds 12.0" in text


def test_a_port_that_is_taken_is_named() -> None:
    with serving_metrics(None) as nothing:
        assert nothing is None
    import socket

    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="--metrics-port"), serving_metrics(port):
            pass


@pytest.fixture
def spans() -> Iterator[Any]:
    """An exporter that keeps what was traced; traces are off again afterwards."""
    memory = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter",
        reason="OpenTelemetry is not installed",
    )
    exporter = memory.InMemorySpanExporter()
    tracing.configure_tracing("", "test", exporter=exporter)
    yield exporter
    tracing.shut_down_tracing()


def test_spans_lie_below_what_they_are_part_of_across_threads(spans: Any, totals: Totals) -> None:
    with tracing.span("index", collection="default"):
        with stage("commit", images=3):
            pass
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(tracing.record, "scan", 1, 2))
        thread.start()
        thread.join()
    found = {span.name: span for span in spans.get_finished_spans()}
    assert set(found) == {"index", "commit", "scan"}
    for name in ("commit", "scan"):
        assert found[name].parent.span_id == found["index"].context.span_id
    assert found["index"].attributes["likeness.collection"] == "default"
    assert found["commit"].attributes["likeness.images"] == 3
    assert (found["scan"].start_time, found["scan"].end_time) == (1, 2)


def test_traces_are_off_unless_a_collector_is_named() -> None:
    tracing.configure_tracing("", "test")
    assert tracing._tracer is None
    with tracing.span("x"):
        tracing.record("y", 1, 2)


def test_traces_without_the_packages_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingsError, match=r"likeness\[tracing\]"):
        tracing.configure_tracing("http://localhost:4318", "test")
    assert tracing._tracer is None
