"""Recovery within a minute with the settings as they come; elsewhere tests hurry the clock."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from likeness.catalog.serving.work import WorkState
from tests.system.lab import AS_SET, RECOVERY_S, Lab, open_lab, write_photos
from tests.system.stack import family, kill_all_of, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("servers"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("as-set")
    with open_lab(folder, seconds_per_batch=0.4, **AS_SET) as opened:
        assert RECOVERY_S <= 60
        yield opened


@pytest.fixture(scope="module")
def photos(lab: Lab) -> Path:
    folder = write_photos(lab.folder / "photos", 40, copies=5, broken=3)
    lab.run_undisturbed(folder, "expected")
    return folder


def test_a_machine_that_is_lost_with_a_batch_in_hand_is_missed_in_time(
    lab: Lab, photos: Path
) -> None:
    """Nobody is left there to say that it died, so its leases have to run out."""
    job = lab.index(photos, "lost")
    holding: list[subprocess.Popen[bytes]] = []

    def in_hand() -> bool:
        # Anew each time: a worker that is still starting has yet to fork the one that works.
        workers = {str(pid): one for one in lab.stack.workers for pid in family(one.pid)}
        leased = lab.queue.ledger.of_job(job.id, state=WorkState.LEASED)
        pids = [one.owner.split(":")[1] for one in leased if one.owner is not None]
        holding[:] = [workers[pid] for pid in pids if pid in workers]
        return bool(holding) and lab.job(job.id).settled > 0

    wait_until(in_hand, 30, "a worker has a batch in hand")
    lost = holding[0]
    kill_all_of(lost)
    lab.stack.workers.remove(lost)
    done = lab.finished(job)
    assert (done.state, done.settled) == ("done", 48)
    lab.check_against("lost", "expected")


def test_a_worker_that_lives_but_takes_no_messages_is_replaced_in_time(
    lab: Lab, photos: Path
) -> None:
    """As Celery has been seen to do after Redis was gone; stopped, it does so for certain."""
    lab.stack.kill_workers()
    worker = lab.stack.start_worker()
    wait_until(lambda: len(family(worker.pid)) >= 3, 60, "it has started")
    consumer = family(worker.pid)[1]
    first = lab.finished(lab.index(photos, "taken"))
    assert first.state == "done"
    os.kill(consumer, signal.SIGSTOP)
    done = lab.finished(lab.index(photos, "ignored"))
    assert (done.state, done.settled) == ("done", 48)
    assert "it takes none" in lab.stack.log("worker0")
    assert consumer not in family(worker.pid)
    lab.check_against("ignored", "expected")
