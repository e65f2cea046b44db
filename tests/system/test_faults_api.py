"""The API queues what callers send, and may die at any moment of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.lab import Lab, open_lab, write_photos
from tests.system.moments import Killed, moments
from tests.system.stack import kill_all_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("servers"),
]
_AT_ONCE = 5


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("api"), api=True, seconds_per_batch=0.02) as opened:
        yield opened


@pytest.fixture(scope="module")
def photos(lab: Lab) -> list[Path]:
    folder = write_photos(lab.folder / "photos", 30, copies=3, broken=2)
    lab.run_undisturbed(folder, "expected")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def images_url(lab: Lab, collection: str) -> str:
    return f"{lab.stack.api_url}/v1/collections/{collection}/images"


def send(lab: Lab, collection: str, paths: list[Path], **params: str) -> httpx.Response:
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    return httpx.post(images_url(lab, collection), files=files, params=params, timeout=60)


def create(lab: Lab, collection: str) -> None:
    lab.catalog.create_collection(collection)


def test_uploads_are_embedded_by_workers_and_the_answer_says_what_became_of_each(
    lab: Lab, photos: list[Path]
) -> None:
    create(lab, "waited")
    answer = send(lab, "waited", photos)
    assert answer.status_code == 200, answer.text
    became = {image["name"]: image for image in answer.json()["images"]}
    assert len(became) == len(photos)
    assert {image["outcome"] for image in became.values()} == {"added", "failed"}
    assert [name for name, image in became.items() if image["outcome"] == "failed"] == sorted(
        path.name for path in photos if path.name.startswith("broken")
    )
    lab.check_by_a_fresh_process("waited", "expected", "bytes")
    assert {job.kind for job in lab.queue.jobs.recent(limit=1)} == {"uploads"}
    again = send(lab, "waited", photos[:3]).json()["images"]
    assert {image["outcome"] for image in again} <= {"known", "failed"}


def test_a_job_of_the_workers_is_told_by_events_and_cancelled_by_the_api(
    lab: Lab, photos: list[Path]
) -> None:
    create(lab, "told")
    job = send(lab, "told", photos, wait="false").json()
    url = f"{lab.stack.api_url}/v1/jobs/{job['id']}/events"
    with httpx.stream("GET", url, timeout=60) as stream:
        lines = list(stream.iter_lines())
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert events[-1]["state"] == "done"
    assert sum(events[-1]["counts"].values()) == len(photos)
    other = send(lab, "told", photos, wait="false").json()
    answer = httpx.post(f"{lab.stack.api_url}/v1/jobs/{other['id']}/cancel").json()
    assert answer["state"] in ("cancelling", "cancelled", "done")
    assert lab.finished(lab.job(other["id"])).state in ("cancelled", "done")


def send_all(lab: Lab, collection: str, parts: list[list[Path]], accepted: list[int]) -> None:
    """As a client does: what was not answered is sent again."""
    for part in parts:
        for _ in range(200):
            try:
                answer = send(lab, collection, part, wait="false")
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            assert answer.status_code == 202, answer.text
            accepted.append(answer.json()["id"])
            break


def test_the_api_killed_at_random_moments_loses_no_upload_that_it_accepted(
    lab: Lab, photos: list[Path]
) -> None:
    """What was accepted is done; what was not, the caller sends again, and is stored once."""
    with lab.checked_meanwhile("expected", "bytes") as check:
        for number, chance in moments(Killed.API):
            collection = f"uploads{number}"
            create(lab, collection)
            parts = [photos[i : i + _AT_ONCE] for i in range(0, len(photos), _AT_ONCE)]
            accepted: list[int] = []
            sending = threading.Thread(target=send_all, args=(lab, collection, parts, accepted))
            sending.start()
            moment_s = chance.uniform(0.0, 0.6)
            time.sleep(moment_s)
            assert lab.stack.api is not None
            kill_all_of(lab.stack.api)
            began = time.monotonic()
            lab.stack.start_api()
            sending.join(60)
            assert len(accepted) == len(parts)
            jobs = [j for j in lab.queue.jobs.recent(limit=100) if j.collection == collection]
            for job in jobs:
                assert lab.finished(job).state == "done"
            print(f"moment {number}: the api after {moment_s:.2f} s: recovered in "
                  f"{time.monotonic() - began:.1f} s", flush=True)  # fmt: skip
            check(collection)
