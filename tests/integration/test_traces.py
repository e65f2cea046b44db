"""The spans of an index run and a search, as a collector would get them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.settings import load_settings
from likeness.telemetry import tracing
from likeness.telemetry.logs import current_ids, log_ids
from search.opening import open_searcher
from search.request import SearchRequest, TextTerm
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime


@pytest.fixture
def spans() -> Iterator[Any]:
    memory = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter",
        reason="OpenTelemetry is not installed",
    )
    exporter = memory.InMemorySpanExporter()
    tracing.configure_tracing("", "test", exporter=exporter)
    yield exporter
    tracing.shut_down_tracing()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[FakeRuntime]:
    write_pictures(tmp_path / "photos")
    settings = load_settings(home=tmp_path / "home", decode_workers=1, commit_rows=5)
    with FakeRuntime(settings, FakeEncoder(batch_size=4)) as opened:
        yield opened


def index(runtime: FakeRuntime, folder: Path) -> None:
    request = IndexRequest("default", sources=[str(folder)])
    Indexer(runtime).index(request, Progress(), threading.Event())


def test_the_stages_of_a_run_are_spans_below_it_and_a_search_is_one(
    runtime: FakeRuntime, tmp_path: Path, spans: Any
) -> None:
    index(runtime, tmp_path / "photos")
    searcher = open_searcher(runtime)
    try:
        searcher.search("default", SearchRequest((TextTerm("red"),)))
    finally:
        searcher.close()
    found: dict[str, list[Any]] = {}
    for span in spans.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    assert {"index", "scan", "decode", "embed", "commit", "publish", "search"} <= set(found)
    (run,) = found["index"]
    for name in ("scan", "decode", "embed", "commit"):
        for span in found[name]:
            assert span.parent is not None, name
            assert span.parent.span_id == run.context.span_id, name
            assert run.start_time <= span.end_time <= run.end_time + 1_000_000, name
    assert sum(span.attributes["likeness.images"] for span in found["embed"]) == 12
    assert sum(span.attributes["likeness.images"] for span in found["commit"]) == 12
    assert found["search"][0].attributes["likeness.collection"] == "default"


def test_what_a_run_logs_of_an_image_carries_its_id_and_that_of_the_job(
    runtime: FakeRuntime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    seen: list[dict[str, int | str]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "reason", None) == "corrupt":
                seen.append(current_ids())

    logger, handler = logging.getLogger("indexer.write"), Keep()
    logger.addHandler(handler)
    try:
        with caplog.at_level("INFO", logger="indexer.write"), log_ids(job_id=9):
            index(runtime, tmp_path / "photos")
    finally:
        logger.removeHandler(handler)
    collection = runtime.catalog.collection("default")
    (failed,) = [
        row for row in runtime.catalog.list_images(collection.id) if row.path.endswith("broken.jpg")
    ]
    assert seen == [{"job_id": 9, "image_id": failed.id}]
