"""Every kind of queued work, by its real handler, from the request to what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.service import IndexRequest
from likeness.catalog.serving.work import NewWork
from likeness.imaging.thumbnail_cache import ThumbnailCache
from likeness.telemetry import pulse
from likeness.types import ImageState
from search.graph.store import FILE_NAME
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import write_pictures
from tests.fakes.worker_process import drain, worker_process, worker_settings
from workers.kinds import CLUSTERS, CPU, DUPLICATES, GRAPH, PUBLISH, THUMBNAILS
from workers.process import WorkerProcess
from workers.queue import WorkQueue

Worker = tuple[WorkerProcess, WorkQueue]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with worker_process(worker_settings(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def indexed(worker: Worker, tmp_path: Path) -> Worker:
    """With a collection of twelve pictures, two of them the same bytes."""
    process, queue = worker
    paths = write_pictures(tmp_path / "photos", 11)
    (tmp_path / "photos" / f"copy{paths[0].suffix}").write_bytes(paths[0].read_bytes())
    job = drain(process, queue.index(IndexRequest("default", sources=[str(tmp_path / "photos")])))
    assert (job.state, job.settled) == ("done", 12)
    return worker


def test_a_new_collection_is_prepared_scanned_embedded_and_published(indexed: Worker) -> None:
    catalog = indexed[0].runtime.catalog
    collection = catalog.collection("default")
    (space,) = catalog.spaces(collection.id)
    assert catalog.counts(collection.id).ready == 12
    assert [row.state for row in catalog.snapshots(space.id)] == ["current"]
    assert (indexed[0].runtime.index_dir(space) / catalog.snapshots(space.id)[0].name).is_dir()


def test_indexing_again_embeds_nothing_again(indexed: Worker, tmp_path: Path) -> None:
    process, queue = indexed
    job = drain(process, queue.index(IndexRequest("default", sources=[str(tmp_path / "photos")])))
    assert (job.state, job.counts["kept"]) == ("done", 12)
    assert job.counts.get("stored", 0) == 0


def test_a_further_space_is_filled_by_pieces(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 20)
    encoders = FakeEncoder("fake:one", batch_size=4), FakeEncoder("fake:two", seed=1)
    with worker_process(worker_settings(tmp_path / "home"), *encoders) as (process, queue):
        request = IndexRequest("default", sources=[str(tmp_path / "photos")])
        assert drain(process, queue.index(request)).state == "done"
        catalog = process.runtime.catalog
        collection = catalog.collection("default")
        second = encoders[1]
        space = catalog.ensure_space(
            collection.id, encoder=second.spec.name, fingerprint=second.fingerprint,
            dim=second.spec.dim, towers=second.spec.towers,
        )  # fmt: skip
        job = drain(process, queue.index(request))
        assert job.state == "done", job
        assert second.prepared == 20, job
        assert sum(len(ids) for ids, _ in catalog.stream_vectors(space.id)) == 20
        assert catalog.missing_in_space(collection.id, space.id, 0, 100) == []


def test_the_graph_of_a_collection_lies_beside_its_index(indexed: Worker) -> None:
    process, queue = indexed
    assert drain(process, queue.over_collection(GRAPH, "default", {})).state == "done"
    (space,) = process.runtime.catalog.spaces(process.runtime.catalog.collection("default").id)
    assert (process.runtime.index_dir(space) / FILE_NAME).exists()


def test_clusters_are_saved_under_the_name_asked_for(indexed: Worker) -> None:
    process, queue = indexed
    asked = {"name": "by look", "method": "kmeans", "k": 3, "random_seed": 1}
    job = drain(process, queue.over_collection(CLUSTERS, "default", asked))
    assert job.state == "done", job


def test_duplicates_are_reported_in_the_home(indexed: Worker, tmp_path: Path) -> None:
    process, queue = indexed
    assert drain(process, queue.over_collection(DUPLICATES, "default", {})).state == "done"
    (report,) = (tmp_path / "home" / "reports").glob("duplicates-*.json")
    document = json.loads(report.read_text())
    assert document["collection"] == "default"
    assert any(len(group["images"]) >= 2 for group in document["groups"]), document["groups"]


def test_thumbnails_are_drawn_page_by_page(
    indexed: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.tasks import collections

    monkeypatch.setattr(collections, "_THUMBNAILS_AT_ONCE", 5)
    process, queue = indexed
    assert drain(process, queue.over_collection(THUMBNAILS, "default", {})).state == "done"
    settings, catalog = process.settings, process.runtime.catalog
    cache = ThumbnailCache(settings.thumbnails_root, max_bytes=settings.thumbnail_cache)
    rows = catalog.list_images(catalog.collection("default").id, state=ImageState.READY, limit=100)
    assert len(rows) == 12
    assert all(cache.get(row.sha256, 256) is not None for row in rows)


@pytest.mark.parametrize("kind", [GRAPH, DUPLICATES, CLUSTERS, PUBLISH])
def test_long_work_shows_signs_of_life_from_within(indexed: Worker, kind: str) -> None:
    """From what it computes, between its beginning and its end; not from a thread beside it."""
    process, queue = indexed
    catalog = process.runtime.catalog
    (space,) = catalog.spaces(catalog.collection("default").id)
    if kind == PUBLISH:
        catalog.set_aside(space.id, catalog.snapshots(space.id)[0].name, "another one is due")
        piece = NewWork(PUBLISH, CPU, {"collection": "default"})
        job = queue.ledger.submit("default", "publish", {}, [piece])
    else:
        job = queue.over_collection(
            kind, "default", {"method": "kmeans"} if kind == CLUSTERS else {}
        )
    beats: list[int] = []
    stop = pulse.listen(lambda: beats.append(1))
    try:
        assert drain(process, job).state == "done"
    finally:
        stop()
    assert beats


def test_work_over_a_collection_that_has_no_images_says_so(worker: Worker) -> None:
    process, queue = worker
    process.runtime.catalog.create_collection("empty")
    job = drain(process, queue.over_collection(CLUSTERS, "empty", {}))
    assert job.state == "failed"
    assert "no images to cluster" in (job.message or "")


def test_a_source_that_is_gone_fails_its_job_with_the_reason(
    worker: Worker, tmp_path: Path
) -> None:
    process, queue = worker
    job = drain(process, queue.index(IndexRequest("default", sources=[str(tmp_path / "nowhere")])))
    assert job.state == "failed"
    assert "nowhere" in (job.message or "")


def test_a_job_that_was_cancelled_before_it_began_does_nothing(
    worker: Worker, tmp_path: Path
) -> None:
    process, queue = worker
    write_pictures(tmp_path / "photos", 4)
    job = queue.index(IndexRequest("default", sources=[str(tmp_path / "photos")]))
    assert queue.cancel(job.id).state == "cancelled"
    drain(process, job)
    assert (
        process.runtime.catalog.counts(process.runtime.catalog.collection("default").id).ready == 0
    )
