"""Processes die at any moment, and every image is stored once all the same.

A few moments on each run; LIKENESS_TEST_KILLS=300 for as many as that (`tests.system.moments`).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from likeness.catalog.serving.work import NewWork
from tests.system.lab import Lab, open_lab, write_photos
from tests.system.moments import Killed, moments
from tests.system.stack import family, kill_all_of
from workers.kinds import CPU, PUBLISH

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("servers"),
]

_LONGEST_S = 1.6
"""About as long as an undisturbed round takes."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("processes")
    with open_lab(folder, seconds_per_batch=0.03) as opened:
        yield opened


@pytest.fixture(scope="module")
def photos(lab: Lab) -> Path:
    folder = write_photos(lab.folder / "photos", 40, copies=5, broken=3)
    lab.run_undisturbed(folder, "expected")
    return folder


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_task_process(lab: Lab, chance: random.Random) -> None:
    """The process that embeds; Celery starts another."""
    worker = chance.choice(lab.stack.workers)
    below = family(worker.pid)
    kill(below[2] if len(below) > 2 else below[-1])


def kill_consumer(lab: Lab, chance: random.Random) -> None:
    """Celery's own process; the supervisor starts another."""
    below = family(chance.choice(lab.stack.workers).pid)
    kill(below[min(1, len(below) - 1)])


def kill_worker(lab: Lab, chance: random.Random) -> None:
    """A whole worker, as when its machine loses power; another is started."""
    worker = chance.choice(lab.stack.workers)
    kill_all_of(worker)
    lab.stack.workers.remove(worker)
    lab.stack.start_worker()


def kill_all_workers(lab: Lab, chance: random.Random) -> None:
    lab.stack.kill_workers()
    time.sleep(chance.uniform(0.0, 0.5))
    for _ in range(2):
        lab.stack.start_worker()


VICTIMS: list[tuple[float, Callable[[Lab, random.Random], None]]] = [
    (0.45, kill_task_process),
    (0.2, kill_consumer),
    (0.25, kill_worker),
    (0.1, kill_all_workers),
]


def test_workers_killed_at_random_moments_lose_nothing_and_store_nothing_twice(
    lab: Lab, photos: Path
) -> None:
    shares = [share for share, _ in VICTIMS]
    with lab.checked_meanwhile("expected") as check:
        for number, chance in moments(Killed.WORKER):
            ((_, victim),) = chance.choices(VICTIMS, shares)
            moment_s = chance.uniform(0.0, _LONGEST_S)
            collection = f"round{number}"
            job = lab.index(photos, collection)
            time.sleep(moment_s)
            victim(lab, chance)
            what = f"moment {number}: {victim.__name__} after {moment_s:.2f} s"
            began = time.monotonic()
            done = lab.finished(job)
            print(f"{what}: recovered in {time.monotonic() - began:.1f} s", flush=True)
            assert done.state == "done", f"{what}: {done}"
            assert done.settled == 48, f"{what}: {done}"
            check(collection)


def test_a_publisher_killed_while_it_publishes_leaves_the_old_index_or_the_new_one(
    lab: Lab, photos: Path
) -> None:
    with lab.checked_meanwhile("expected") as check:
        for number, chance in moments(Killed.PUBLISHER):
            collection = f"published{number}"
            lab.finished(lab.index(photos, collection))
            space_id = lab.catalog.spaces(lab.catalog.collection(collection).id)[0].id
            name = lab.catalog.snapshots(space_id)[0].name
            lab.catalog.set_aside(space_id, name, "so that another one is due")
            piece = NewWork(PUBLISH, CPU, {"collection": collection}, key=f"publish:{collection}")
            job = lab.queue.ledger.submit(collection, "publish", {}, [piece])
            lab.queue.retry(job.id)  # nothing to take up; workers hear of the work
            lab.wait_for(job, lambda job: job.state != "queued", "it is being published")
            moment_s = chance.uniform(0.0, 0.08)
            time.sleep(moment_s)
            for worker in lab.stack.workers:
                for pid in family(worker.pid)[2:]:
                    kill(pid)
            began = time.monotonic()
            done = lab.finished(job)
            print(f"moment {number}: publisher after {moment_s:.3f} s: recovered in "
                  f"{time.monotonic() - began:.1f} s", flush=True)  # fmt: skip
            assert done.state == "done", done
            current = [s for s in lab.catalog.snapshots(space_id) if s.state == "current"]
            assert len(current) == 1
            assert current[0].name != name
            check(collection)


def test_sigterm_under_load_finishes_or_hands_back_and_ends_in_time(lab: Lab, photos: Path) -> None:
    job = lab.index(photos, "terminated")
    lab.under_way(job, 5)
    leaving = list(lab.stack.workers)
    lab.stack.workers.clear()
    for worker in leaving:
        worker.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for worker in leaving:
        assert worker.wait(timeout=15) == 0
    assert time.monotonic() - began < 10
    pieces = lab.queue.ledger.of_job(job.id, limit=1000)
    assert [p for p in pieces if p.state == "leased"] == []  # handed back, not left to run out
    for _ in range(2):
        lab.stack.start_worker()
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_by_a_fresh_process("terminated", "expected")


def test_a_worker_whose_supervisor_is_killed_leaves_nothing_running(lab: Lab) -> None:
    worker = lab.stack.start_worker()
    lab.stack.workers.remove(worker)
    time.sleep(0.1)
    deadline = time.monotonic() + 30
    while len(below := family(worker.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    while time.monotonic() < deadline and any(_runs(pid) for pid in below):
        time.sleep(0.1)
    assert [pid for pid in below if _runs(pid)] == []


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
