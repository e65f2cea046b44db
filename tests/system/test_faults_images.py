"""Images that do harm, files that change under the reader, runs that cross each other."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.types import ImageState
from tests.fakes.pictures import draw_picture
from tests.fakes.runtime import FakeRuntime
from tests.system.lab import Lab, open_lab, write_photos
from tests.system.poison import (
    EATS_MEMORY,
    HANGS,
    KILLS_DECODER,
    KILLS_WORKER,
    PoisonedEncoder,
    write_poison,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("servers"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("images")
    with open_lab(folder, seconds_per_batch=0.02) as opened:
        yield opened


def test_images_that_kill_hang_or_starve_the_decoder_are_listed_and_the_rest_is_stored(
    lab: Lab, tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "photos", 24)
    for name, colour in (("kills", KILLS_DECODER), ("hangs", HANGS), ("eats", EATS_MEMORY)):
        write_poison(photos / f"{name}.png", colour)
    job = lab.finished(lab.index(photos, "decoder"))
    assert job.state == "done"
    assert job.counts["stored"] == 24
    assert job.failures == {"decoder_crashed": 1, "timeout": 1, "too_large": 1}
    lab.check(photos, "decoder")


def test_an_image_that_kills_the_worker_is_found_listed_and_left_alone(
    lab: Lab, tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "photos", 24)
    write_poison(photos / "picture009a.png", KILLS_WORKER)
    job = lab.finished(lab.index(photos, "worker"))
    assert job.state == "done"
    assert (job.counts["stored"], job.failures) == (24, {"worker_lost": 1})
    (failed,) = lab.catalog.list_images(
        lab.catalog.collection("worker").id, state=ImageState.FAILED
    )
    assert failed.path.endswith("picture009a.png")
    assert "attempts" in (failed.message or "")
    (photos / "picture009a.png").unlink()
    lab.finished(lab.index(photos, "worker"))
    lab.check(photos, "worker")


def test_files_changed_cut_and_removed_while_they_are_read(lab: Lab, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 120)
    chance = random.Random(5)
    stop = threading.Event()

    def meddle() -> None:
        paths = sorted(photos.rglob("picture*"))
        for number in range(200):
            path = chance.choice(paths)
            if not path.exists():
                continue
            deed = number % 4
            if deed == 0:
                draw_picture(1000 + number).save(path)
            elif deed == 1:
                os.truncate(path, path.stat().st_size // 2)
            elif deed == 2:
                path.unlink()
            else:
                data = path.read_bytes()
                path.write_bytes(data + b"\0" * chance.randrange(1, 100))
            if stop.wait(0.01):
                return

    job = lab.index(photos, "changing")
    lab.wait_for(job, lambda job: (job.total or 0) > 0, "it is being read")
    meddling = threading.Thread(target=meddle)
    meddling.start()
    done = lab.finished(job)
    stop.set()
    meddling.join()
    assert done.state == "done"
    lab.catalog.collection("changing")
    again = lab.finished(lab.index(photos, "changing"))
    assert again.state == "done"
    lab.check(photos, "changing")


def test_three_runs_of_one_folder_at_once_end_as_one(lab: Lab, tmp_path: Path) -> None:
    """Two by workers and one in this process."""
    photos = write_photos(tmp_path / "photos", 80, copies=10, broken=5)
    jobs = [lab.index(photos, "crossing") for _ in range(2)]
    with FakeRuntime(lab.settings, PoisonedEncoder(0.02)) as runtime:
        lab.wait_for(jobs[0], lambda job: (job.total or 0) > 0, "it has begun")
        request = IndexRequest("crossing", sources=[str(photos)])
        Indexer(runtime).index(request, Progress(), threading.Event())
    for job in jobs:
        done = lab.finished(job)
        assert (done.state, done.settled) == ("done", 95)
    lab.check(photos, "crossing")


def test_a_cancelled_job_ends_soon_and_what_it_stored_stays(lab: Lab, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2400)
    job = lab.index(photos, "cancelled")
    lab.under_way(job)
    lab.queue.cancel(job.id)
    began = time.monotonic()
    done = lab.finished(job)
    assert done.state == "cancelled"
    assert time.monotonic() - began < 15
    stored = lab.catalog.counts(lab.catalog.collection("cancelled").id).ready
    assert 1 <= stored == done.counts["stored"] < 2400
    assert lab.queue.retry(job.id) > 0
    done = lab.finished(job)
    assert (done.state, done.counts["stored"]) == ("done", 2400)
    lab.check(photos, "cancelled")
