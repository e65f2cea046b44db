"""Messages are hints: few, renewed from SQL, missed by nobody when the broker loses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from likeness.catalog.serving.jobs import JobState
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import NewWork
from likeness.runtime import Runtime
from likeness.settings import Settings
from tests.fakes.runtime import FakeRuntime
from tests.fakes.worker_process import worker_settings
from workers.app import make_app
from workers.hints import MOST_WAITING, Hints
from workers.kinds import GPU, IO, QUEUES, SCAN
from workers.sweeper import Sweeper

MANY = 3 * MOST_WAITING


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return worker_settings(tmp_path, queue_sweep_s=0.001, rescan_s=0.0, compact_s=0.0)


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    with FakeRuntime(settings) as opened:
        opened.catalog.create_collection("default")
        yield opened


def purge(settings: Settings) -> None:
    """The broker loses all that it holds."""
    with make_app(settings).connection_for_write() as connection:
        for queue in QUEUES:
            connection.default_channel.queue_purge(queue)


@pytest.fixture
def hints(settings: Settings, runtime: Runtime) -> Iterator[Hints]:
    found = Hints(make_app(settings), Upkeep(runtime.catalog), again_after_s=3600.0)
    for queue in QUEUES:
        found.waiting(queue)
    purge(settings)
    yield found
    purge(settings)
    found.close()


class Broken:
    """An app whose broker cannot be reached."""

    def connection_for_write(self) -> object:
        raise OperationalError("connection refused")


def test_however_much_is_ready_few_messages_stand_in_the_broker(
    hints: Hints, runtime: Runtime
) -> None:
    Ledger(runtime.catalog).submit("default", "index", {}, [NewWork("embed", GPU)] * MANY)
    for _ in range(5):
        assert hints.send()
    assert hints.waiting(GPU) == MOST_WAITING
    assert hints.waiting(IO) == 0


def test_work_that_waits_or_is_not_due_is_not_told_of(hints: Hints, runtime: Runtime) -> None:
    ledger = Ledger(runtime.catalog)
    ledger.submit("default", "index", {}, [NewWork(SCAN, IO), NewWork("gaps", IO, stage=1)])
    work = ledger.claim_next("me", 60, kind=SCAN)
    assert work is not None
    ledger.fail(work, "later", retry_in_s=600)
    assert hints.send()
    assert hints.waiting(IO) == 0


def test_a_broker_that_is_away_costs_a_message_that_is_sent_when_it_is_back(
    hints: Hints, runtime: Runtime
) -> None:
    Ledger(runtime.catalog).submit("default", "index", {}, [NewWork(SCAN, IO)])
    away = Hints(Broken(), Upkeep(runtime.catalog), again_after_s=3600.0)  # type: ignore[arg-type]
    assert not away.send()
    assert away.waiting(IO) is None
    assert hints.send()
    assert hints.waiting(IO) == 1


def test_what_the_broker_lost_is_told_again_after_a_while(
    settings: Settings, runtime: Runtime, hints: Hints
) -> None:
    Ledger(runtime.catalog).submit("default", "index", {}, [NewWork(SCAN, IO)])
    assert hints.send()
    purge(settings)
    assert hints.send()
    assert hints.waiting(IO) == 0, "too soon to say it again"
    soon = Hints(make_app(settings), Upkeep(runtime.catalog), again_after_s=0.0)
    assert soon.send()
    assert hints.waiting(IO) == 1
    soon.close()


@pytest.fixture
def sweeper(runtime: Runtime, hints: Hints) -> Sweeper:
    return Sweeper(runtime, hints, "me", QUEUES)


def test_one_of_many_sweeps_at_a_time(runtime: Runtime, hints: Hints, settings: Settings) -> None:
    slow = settings.model_copy(update={"queue_sweep_s": 600.0})
    with FakeRuntime(slow) as other:
        assert Sweeper(other, hints, "me", QUEUES).sweep()
        assert not Sweeper(other, hints, "you", QUEUES).sweep()


def test_what_dead_processes_held_is_ready_at_once_and_others_keep_theirs(
    sweeper: Sweeper, runtime: Runtime, hints: Hints
) -> None:
    ledger = Ledger(runtime.catalog)
    job = ledger.submit("default", "index", {}, [NewWork(SCAN, IO), NewWork(SCAN, IO)])
    for owner in ("dead", "alive"):
        assert ledger.claim_next(owner, 3600, kind=SCAN) is not None
    sweeper.give_up(["dead", "unheard of"])
    states = {work.owner: work.state for work in ledger.of_job(job.id)}
    assert states["alive"] == "leased"
    (given_up,) = [work for work in ledger.of_job(job.id) if work.state == "ready"]
    assert given_up.attempts == 1
    assert "worker was lost" in (given_up.reason or "")


def test_nobody_dead_is_nothing_to_do(sweeper: Sweeper, runtime: Runtime) -> None:
    ledger = Ledger(runtime.catalog)
    ledger.submit("default", "index", {}, [NewWork(SCAN, IO)])
    assert ledger.claim_next("alive", 3600, kind=SCAN) is not None
    sweeper.give_up([])
    assert ledger.claim_next("other", 3600, kind=SCAN) is None


def test_a_job_whose_last_worker_died_before_it_said_so_is_moved_on(
    sweeper: Sweeper, runtime: Runtime
) -> None:
    ledger = Ledger(runtime.catalog)
    job = ledger.submit("default", "index", {}, [NewWork(SCAN, IO), NewWork("gaps", IO, stage=1)])
    for kind in (SCAN, "gaps"):
        work = ledger.claim_next("me", 60, kind=kind)
        assert work is not None, kind
        ledger.complete(work)
        sweeper._upkeep.take_duty("sweep", "me", every_s=0.0)
        while not sweeper.sweep():
            pass
    jobs = sweeper._upkeep.advance(job.id)
    assert jobs.state is JobState.DONE
