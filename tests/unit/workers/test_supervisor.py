"""The supervisor, over small programs that stand for Celery's process."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from likeness.catalog import Catalog
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.work import NewWork
from likeness.settings import Settings
from tests.fakes.worker_process import worker_settings
from workers import supervisor as module
from workers.health import Health
from workers.kinds import IO, QUEUES, SCAN
from workers.supervisor import Supervisor

ORDERS = "import json, os, pathlib, signal, sys, time; orders = json.loads(sys.stdin.read());"
NOTE = "open({path!r}, 'a').write(str(os.getpid()) + chr(10));"
RUN_DIR = "run = pathlib.Path(orders['run_dir']);"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return worker_settings(
        tmp_path / "home", queue_sweep_s=0.2, worker_stall_s=0.8, worker_grace_s=2, compact_s=0
    )


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_LOOK_S", 0.05), ("_HEALTH_EVERY_S", 0.1)):
        monkeypatch.setattr(module, name, seconds)


def program(tmp_path: Path, *code: str) -> tuple[Sequence[str], Callable[[], list[int]]]:
    """A command, and a function that tells the ids of the processes that ran it so far."""
    path = tmp_path / "pids"
    path.touch()
    text = ORDERS + RUN_DIR + NOTE.format(path=str(path)) + "".join(code)
    return (sys.executable, "-c", text), lambda: [int(line) for line in path.read_text().split()]


@contextmanager
def supervised(
    settings: Settings, command: Sequence[str]
) -> Iterator[tuple[list[Health], list[int]]]:
    """Run it in a thread; what it said of its health, and its exit status once it has ended."""
    said: list[Health] = []
    status: list[int] = []
    one = Supervisor(
        settings, queues=QUEUES, concurrency=1, command=command, publish_health=said.append
    )
    thread = threading.Thread(target=lambda: status.append(one.run()))
    thread.start()
    try:
        yield said, status
    finally:
        one.stop()
        thread.join(30)
        assert not thread.is_alive()


def eventually(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.03)


def queue_something(settings: Settings) -> None:
    with Catalog.open(settings.catalog_url) as catalog:
        catalog.create_collection("default")
        Ledger(catalog).submit("default", "index", {}, [NewWork(SCAN, IO)])


def test_a_process_that_dies_is_replaced(settings: Settings, tmp_path: Path) -> None:
    command, pids = program(tmp_path, "time.sleep(0.1)")
    with supervised(settings, command) as (said, _):
        eventually(lambda: len(pids()) >= 3, "two were replaced")
        eventually(lambda: bool(said) and said[-1].restarts >= 1, "it says so")


def test_a_process_that_takes_no_work_is_replaced_and_said_to_be_unhealthy(
    settings: Settings, tmp_path: Path
) -> None:
    queue_something(settings)
    command, pids = program(tmp_path, "time.sleep(60)")
    with supervised(settings, command) as (said, _):
        eventually(lambda: len(pids()) >= 2, "it was replaced")
    trouble = [health.trouble for health in said if not health.healthy]
    assert any("it takes none" in (text or "") for text in trouble)


def test_a_process_without_work_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    command, pids = program(tmp_path, "time.sleep(60)")
    with supervised(settings, command) as (said, _):
        eventually(lambda: len(said) >= 25, "it was looked at for a while")
        assert len(pids()) == 1
        assert said[-1].healthy
        assert said[-1].waiting == 0


def test_a_process_that_shows_signs_of_life_is_left_alone(
    settings: Settings, tmp_path: Path
) -> None:
    queue_something(settings)
    live = "\nwhile True:\n (run / 'progress').touch()\n time.sleep(0.05)"
    command, pids = program(tmp_path, live)
    with supervised(settings, command) as (said, _):
        eventually(lambda: len(said) >= 25, "it was looked at for a while")
        assert len(pids()) == 1
        assert said[-1].waiting == 1
        assert said[-1].healthy


def test_work_in_hand_that_hangs_is_ended_though_nothing_else_waits(
    settings: Settings, tmp_path: Path
) -> None:
    hang = "(run / f'busy-{os.getpid()}').touch(); time.sleep(60)"
    command, pids = program(tmp_path, hang)
    with supervised(settings, command) as (said, _):
        eventually(lambda: len(pids()) >= 2, "it was replaced")
    assert any("hangs" in (health.trouble or "") for health in said)


def test_what_a_dead_process_held_is_handed_on_at_once(settings: Settings, tmp_path: Path) -> None:
    queue_something(settings)
    patient = settings.model_copy(update={"worker_stall_s": 600.0})
    with Catalog.open(settings.catalog_url) as catalog:
        ledger = Ledger(catalog)
        work = ledger.claim_next("the dead one", 3600, kind=SCAN)
        assert work is not None
        once = "first = not (run / 'second').exists(); (run / 'second').touch();"
        die = "(run / f'owner-{os.getpid()}').write_text('the dead one') if first else None;"
        command, _ = program(tmp_path, once, die, "time.sleep(0.3 if first else 60)")
        with supervised(patient, command):

            def ready() -> bool:
                now = ledger.get(work.id)
                return now is not None and now.state == "ready"

            eventually(ready, "the piece is ready again, an hour before its lease ends")


@pytest.mark.parametrize("deaf", [False, True])
def test_told_to_stop_it_ends_its_process_within_the_grace_time(
    settings: Settings, tmp_path: Path, deaf: bool
) -> None:
    how = "signal.SIG_IGN" if deaf else "lambda *_: sys.exit(0)"
    began = time.monotonic()
    command, pids = program(tmp_path, f"signal.signal(signal.SIGTERM, {how});", "time.sleep(60)")
    with supervised(settings, command) as (_, status):
        eventually(lambda: len(pids()) == 1, "it runs")
        time.sleep(0.3)
        began = time.monotonic()
    assert status == [0]
    took_s = time.monotonic() - began
    assert took_s < settings.worker_grace_s + 8
    assert deaf == (took_s >= settings.worker_grace_s)
    with pytest.raises(ProcessLookupError):
        __import__("os").kill(pids()[0], 0)
