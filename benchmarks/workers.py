"""The queue path against the in-process path; scaling over workers; cost per task; broker memory.

    python -m benchmarks.workers [--images N] [--encoder NAME] [--parts rate,scaling,…]

PostgreSQL (durable, as in production) and Redis are started in a temporary directory. Both paths
write to the same PostgreSQL, with the same decoders and the same encoder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.catalog import made_up
from benchmarks.record import print_table, write_result
from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, CommitResult
from likeness.catalog.serving.jobs import Job
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.work import NewWork, Tally, Work
from likeness.runtime import Runtime
from likeness.settings import load_settings
from likeness.types import Tower
from tests.fakes.pictures import draw_picture
from tests.system.stack import Stack, wait_until
from workers.kinds import IO, SCAN
from workers.queue import WorkQueue

_SIDE = (640, 480)
_TASKS = 400
_SMALL_PIECE = 64
_TABLES = ("images", "embeddings", "chunks")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; write results/workers.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--encoder", default="likeness:tiny")
    parser.add_argument("--parts", default="rate,scaling,tasks,commit,broker")
    chosen = parser.parse_args(arguments)
    parts = chosen.parts.split(",")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        root = Path(folder)
        photos = _draw(root / "photos", chosen.images)
        if "rate" in parts:
            figures["rates"] = _rates(root, photos, chosen.images, chosen.encoder)
        if "scaling" in parts:
            figures["scaling"] = _scaling(root, photos, chosen.images, chosen.encoder)
        if "tasks" in parts:
            figures["tasks"] = _tasks(root / "tasks", chosen.encoder)
        if "commit" in parts:
            figures["commit"] = _commits(root / "commit")
        if "broker" in parts:
            figures["broker"] = _broker(root / "broker", chosen.encoder)
    write_result(
        "workers",
        command=["python -m benchmarks.workers", f"--images {chosen.images}"],
        data=f"{chosen.images} drawn JPEGs of {_SIDE[0]} x {_SIDE[1]}",
        encoder=chosen.encoder,
        figures=figures,
    )
    return 0


def _draw(folder: Path, count: int) -> Path:
    """JPEGs that all differ, a hundred drawings with a pixel of their own each."""
    folder.mkdir(parents=True)
    drawn = [draw_picture(seed, _SIDE) for seed in range(100)]
    for number in range(count):
        picture = drawn[number % 100].copy()
        picture.putpixel((8 * (number % 80), 8 * (number // 100 % 60)), (255, 255, number % 256))
        picture.save(folder / f"{number:06}.jpg", quality=88)
    return folder


def _settings(stack: Stack, encoder: str) -> Any:
    return load_settings(
        home=stack.home,
        database_url=stack.database_url,
        broker_url=stack.redis.url,
        encoder=encoder,
    )


def _rates(root: Path, photos: Path, count: int, encoder: str) -> dict[str, float]:
    """Images per second, from the first image read to the last one committed."""
    rates: dict[str, float] = {}
    with Stack(root / "rates", workers=0, encoder=encoder) as stack:
        settings = _settings(stack, encoder)
        with Catalog.open(settings.catalog_url) as catalog, WorkQueue(settings, catalog) as queue:
            rates["in process"] = _in_process(settings, photos, count)
            stack.start_worker()
            rates["queue, 1 worker"] = _by_queue(stack, queue, root, photos, count)
    base = rates["in process"]
    print_table(
        ["path", "images/s", "share"], [(name, rate, rate / base) for name, rate in rates.items()]
    )
    return rates


def _scaling(root: Path, photos: Path, count: int, encoder: str) -> dict[str, float]:
    """Images per second of one worker and of two, each with a core of its own.

    Reading, decoding and embedding scale; the database, Redis and this process take what they need
    of the same cores. Small pieces, so that neither worker waits for the other's last one.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    rates: dict[str, float] = {}
    if len(cores) < 2:
        print("scaling: one core only, nothing to compare")
        return rates
    options: dict[str, Any] = {"threads": 1, "decode_workers": 1, "queue_images": _SMALL_PIECE}
    with Stack(root / "scaling", workers=0, encoder=encoder, **options) as stack:
        settings = _settings(stack, encoder).model_copy(update=options)
        with Catalog.open(settings.catalog_url) as catalog, WorkQueue(settings, catalog) as queue:
            for workers, core in enumerate(cores, start=1):
                stack.start_worker(wrapped_by=("taskset", "--cpu-list", str(core)))
                name = f"{workers} worker{'s' * (workers > 1)}, a core each"
                rates[name] = _by_queue(stack, queue, root, photos, count)
    one = next(iter(rates.values()))
    print_table(
        ["workers", "images/s", "times one"],
        [(name, rate, rate / one) for name, rate in rates.items()],
    )
    return rates


def _by_queue(stack: Stack, queue: WorkQueue, root: Path, photos: Path, count: int) -> float:
    workers = len(stack.workers)
    _warm(stack, queue, root, workers)
    began = time.monotonic()
    job = _finish(queue, queue.index(IndexRequest(f"queue{workers}", sources=[str(photos)])))
    seconds = time.monotonic() - began
    assert job.settled == count, job
    return count / seconds


def _in_process(settings: Any, photos: Path, count: int) -> float:
    """Encoder warm; indexes are built at the end, as by the queue."""
    with Runtime(settings) as runtime:
        indexer = Indexer(runtime)
        warm = photos.parent / "warm"
        if not warm.exists():
            _draw(warm, 64)
        request = IndexRequest("warm", sources=[str(warm)])
        indexer.index(request, Progress(), threading.Event())
        began = time.monotonic()
        request = IndexRequest("in-process", sources=[str(photos)])
        report = indexer.index(request, Progress(), threading.Event())
        seconds = time.monotonic() - began
    assert report.counts.stored == count, report.counts
    return count / seconds


def _warm(stack: Stack, queue: WorkQueue, root: Path, workers: int) -> None:
    """Every worker has loaded its encoder and embedded something."""
    warm = root / "photos-warm"
    if not warm.exists():
        _draw(warm, 64 * 8)
    for number in range(20):
        name = f"warm{workers}-{number}"
        _finish(queue, queue.index(IndexRequest(name, sources=[str(warm)])))
        if all("embed begins" in stack.log(f"worker{n}") for n in range(workers)):
            return
    raise RuntimeError("one of the workers takes nothing")


def _finish(queue: WorkQueue, job: Job) -> Job:
    wait_until(lambda: queue.jobs.get(job.id).state.final, 400, f"job {job.id} has ended")
    done = queue.jobs.get(job.id)
    assert done.state == "done", done
    return done


def _tasks(folder: Path, encoder: str) -> dict[str, float]:
    """What a piece of work costs beyond what it does: scans of an empty folder."""
    with Stack(folder, workers=1, encoder=encoder) as stack:
        settings = _settings(stack, encoder)
        empty = folder / "empty"
        empty.mkdir()
        with Catalog.open(settings.catalog_url) as catalog, WorkQueue(settings, catalog) as queue:
            catalog.create_collection("default")
            request = {"collection": "default", "sources": [str(empty)]}
            scan = [NewWork(SCAN, IO)]
            _finish(queue, _submit(queue, request, scan))
            began = time.monotonic()
            _finish(queue, _submit(queue, request, scan * _TASKS))
            ms = 1000 * (time.monotonic() - began) / _TASKS
    print_table(["pieces of work", "ms each"], [(_TASKS, ms)])
    return {"pieces": _TASKS, "ms_each": ms}


def _submit(queue: WorkQueue, request: dict[str, Any], work: Sequence[NewWork]) -> Job:
    job = queue.ledger.submit("default", "index", request, work)
    queue.retry(job.id)  # workers hear of it
    return job


def _commits(folder: Path) -> dict[str, float]:
    """One transaction for each piece of 256 images, as workers make them: how long each holds its
    collection, and what an image takes of the database and of its log."""
    piece, pieces, dim = 256, 60, 512
    with Stack(folder, workers=0) as stack, Catalog.open(stack.database_url) as catalog:
        ledger, collection = Ledger(catalog), catalog.create_collection("default")
        space = catalog.ensure_space(
            collection.id, encoder="none:random", fingerprint="00", dim=dim,
            towers=frozenset({Tower.IMAGE}),
        )  # fmt: skip
        whole = list(made_up(space, 1000 * pieces, dim))
        batches = [
            Batch(batch.items[:piece], {space.id: batch.vectors[space.id][:piece]})
            for batch in whole
        ]
        ledger.submit("default", "index", {}, [NewWork("embed", "gpu")] * len(batches))
        before, seconds = _database_bytes(catalog), []
        for batch in batches:
            work = ledger.claim_next("bench", 60, kind="embed")
            assert work is not None
            began = time.perf_counter()
            catalog.commit_batch(
                collection.id,
                batch,
                first=partial(ledger.take_completion, lease=work),
                last=partial(_count, ledger, work),
            )
            seconds.append(time.perf_counter() - began)
        images = piece * len(batches)
        grown = {
            f"{name}_bytes": (after - before[name]) / images
            for name, after in _database_bytes(catalog).items()
        }
    ms = 1000 * statistics.median(seconds)
    figures = {"images": piece, "ms": ms, "images_per_s": 1000 * piece / ms, **grown}
    print_table(
        ["images a transaction", "ms", "images/s", *grown],
        [tuple(figures.values())],
    )
    return figures


def _count(ledger: Ledger, work: Work, connection: Any, _: CommitResult) -> None:
    ledger.count(connection, work, Tally({"stored": work.images}))


def _database_bytes(catalog: Catalog) -> dict[str, float]:
    sizes = ", ".join(f"pg_total_relation_size('{name}')" for name in _TABLES)
    log = "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
    with catalog.engine.connect() as connection:
        row = connection.exec_driver_sql(f"SELECT {sizes}, {log}").one()
    return dict(zip((*_TABLES, "log"), map(float, row), strict=True))


def _broker(folder: Path, encoder: str) -> dict[str, float]:
    """Memory of Redis before and after 100,000 images are queued, none of them taken."""
    images, piece = 100_000, 256
    with Stack(folder, workers=0, encoder=encoder) as stack:
        settings = _settings(stack, encoder)
        with Catalog.open(settings.catalog_url) as catalog, WorkQueue(settings, catalog) as queue:
            with stack.redis.client() as client:
                before = int(client.info("memory")["used_memory"])
            items = [
                [f"file:///photos/2024/holiday/IMG_{number:07}.jpg", f"/photos/IMG_{number}.jpg",
                 3_000_000, 1_700_000_000_000_000_000 + number, {}]
                for number in range(images)
            ]  # fmt: skip
            work = [
                NewWork("embed", "gpu", {"items": items[i : i + piece]}, images=piece)
                for i in range(0, images, piece)
            ]
            job = queue.ledger.submit("default", "index", {}, work)
            for _ in range(5):
                queue.retry(job.id)  # hints, as often as they are sent
            with stack.redis.client() as client:
                after = int(client.info("memory")["used_memory"])
                waiting = queue.waiting("gpu")
            with catalog.engine.connect() as connection:
                ledger = connection.exec_driver_sql(
                    "SELECT pg_total_relation_size('work_items')"
                ).scalar_one()
    mib = (after - before) / 2**20
    print_table(
        ["queued images", "messages", "broker MiB", "ledger MiB"],
        [(images, waiting or 0, mib, ledger / 2**20)],
    )
    return {
        "images": images,
        "messages": waiting or 0,
        "broker_mib": mib,
        "ledger_mib": ledger / 2**20,
    }


if __name__ == "__main__":
    sys.exit(main())
