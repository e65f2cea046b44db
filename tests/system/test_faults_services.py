"""Redis and PostgreSQL go away, messages come thrice, leases are stolen, clocks jump."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from likeness.catalog.serving.jobs import Job
from likeness.catalog.serving.work import WorkState
from tests.system.lab import RECOVERY_S, Lab, open_lab, write_photos
from tests.system.skew import SECONDS
from tests.system.stack import family, wait_until
from workers.app import make_app
from workers.kinds import EMBED, task_name

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("servers"),
]
_UNREACHABLE_S = 30.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("services")
    with open_lab(folder, seconds_per_batch=0.15) as opened:
        yield opened


@pytest.fixture(scope="module")
def photos(lab: Lab) -> Path:
    folder = write_photos(lab.folder / "photos", 40, copies=5, broken=3)
    lab.run_undisturbed(folder, "expected")
    return folder


def task_process(worker_pid: int) -> int:
    """The process that embeds, below Celery's, below the supervisor."""
    deadline = time.monotonic() + 30
    while len(below := family(worker_pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    return below[2]


def test_redis_killed_and_restarted_empty_costs_nothing(lab: Lab, photos: Path) -> None:
    job = lab.index(photos, "redis")
    lab.under_way(job, 4)
    with lab.stack.redis.client() as client:
        client.set("before", "the fall")
    lab.stack.redis.kill()
    time.sleep(1)
    lab.stack.redis.start()
    with lab.stack.redis.client() as client:
        assert client.get("before") is None
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("redis", "expected")


def test_a_job_survives_all_workers_and_all_that_the_broker_held(lab: Lab, photos: Path) -> None:
    job = lab.index(photos, "everything")
    lab.under_way(job, 4)
    lab.stack.kill_workers()
    lab.stack.redis.kill()
    lab.stack.redis.start()
    for _ in range(2):
        lab.stack.start_worker()
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("everything", "expected")


def test_what_is_queued_while_the_broker_is_down_is_done_when_it_is_back(
    lab: Lab, photos: Path
) -> None:
    lab.stack.redis.kill()
    job = lab.index(photos, "unheard")
    time.sleep(1)
    assert lab.job(job.id).state == "queued"
    lab.stack.redis.start()
    assert lab.finished(job).state == "done"
    lab.check_against("unheard", "expected")


def test_postgresql_restarted_in_the_middle(lab: Lab, photos: Path) -> None:
    job = lab.index(photos, "restarted")
    lab.under_way(job, 4)
    lab.stack.postgres.restart()
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("restarted", "expected")


def test_postgresql_unreachable_for_half_a_minute(lab: Lab, photos: Path) -> None:
    job = lab.index(photos, "frozen")
    lab.under_way(job, 4)
    with lab.stack.postgres.frozen():
        time.sleep(_UNREACHABLE_S)
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("frozen", "expected")


def test_every_message_three_times(lab: Lab, photos: Path) -> None:
    app = make_app(lab.settings)
    job = lab.index(photos, "thrice")
    sent = 0
    while not (now := lab.job(job.id)).state.final:
        for piece in lab.queue.ledger.of_job(job.id):
            for _ in range(3):
                app.send_task(task_name(piece.kind), args=[piece.id], queue=piece.queue)
                sent += 1
        time.sleep(0.3)
        assert sent < 3000, now
    assert sent >= 15
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("thrice", "expected")


def stop_one_with_a_batch(lab: Lab, job: Job) -> tuple[int, list[int]]:
    """A process that embeds is stopped; its id, and the pieces that it has in hand."""
    ledger = lab.queue.ledger
    while not lab.job(job.id).state.final:
        for piece in ledger.of_job(job.id, state=WorkState.LEASED):
            pid = int(str(piece.owner).split(":")[1])
            os.kill(pid, signal.SIGSTOP)
            held = ledger.of_job(job.id, state=WorkState.LEASED)
            if ids := [one.id for one in held if one.kind == EMBED and one.owner == piece.owner]:
                return pid, ids
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("the job was done before a process could be stopped")


def test_two_workers_on_one_batch_at_once_store_it_once(lab: Lab, photos: Path) -> None:
    """One is stopped with a batch in hand until another has it, then goes on with it."""
    job = lab.index(photos, "stolen")
    lab.wait_for(job, lambda job: (job.total or 0) > 0, "it is being embedded")
    pid, in_hand = stop_one_with_a_batch(lab, job)

    def taken_over() -> bool:
        now = {piece.id: piece for piece in lab.queue.ledger.of_job(job.id)}
        # A job that has ended keeps none of its pieces.
        return all(id_ not in now or now[id_].attempts > 1 for id_ in in_hand)

    try:
        wait_until(taken_over, RECOVERY_S, "another has what the stopped one has in hand")
    finally:
        os.kill(pid, signal.SIGCONT)
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    time.sleep(1)  # the one that was stopped has found out
    lab.check_against("stolen", "expected")


def test_workers_whose_clocks_are_wrong_and_jump(lab: Lab, photos: Path) -> None:
    """By a day, each way: leases live on the database's clock."""
    lab.stack.kill_workers()
    os.environ[SECONDS] = "86400"
    try:
        skewed = [lab.stack.start_worker() for _ in range(2)]
    finally:
        del os.environ[SECONDS]
    job = lab.index(photos, "skewed")
    lab.under_way(job, 4)
    os.kill(task_process(skewed[0].pid), signal.SIGKILL)
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("skewed", "expected")
