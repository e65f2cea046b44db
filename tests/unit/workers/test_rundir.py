"""What the processes of a worker tell each other by files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from likeness.telemetry import pulse
from workers.rundir import RunDir, cpu_s


def dead_pid() -> int:
    """Of a process that was, and is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_sign_of_life_is_seen_by_its_being_another_than_before(tmp_path: Path) -> None:
    by_worker, by_supervisor = RunDir(tmp_path), RunDir(tmp_path)
    assert by_supervisor.last_sign() == 0
    by_worker.progressed()
    first = by_supervisor.last_sign()
    assert first != 0
    time.sleep(0.6)
    by_worker.progressed()
    assert by_supervisor.last_sign() != first


def test_signs_that_follow_one_another_at_once_are_one(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.progressed()
    first = run_dir.last_sign()
    for _ in range(1000):
        run_dir.progressed()
    assert run_dir.last_sign() == first


def test_beats_of_the_work_are_signs_of_the_worker_while_it_listens(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    stop = pulse.listen(run_dir.progressed)
    pulse.beat()
    stop()
    first = run_dir.last_sign()
    assert first != 0
    time.sleep(0.6)
    pulse.beat()
    assert run_dir.last_sign() == first


def test_a_process_is_busy_while_it_has_work_in_hand(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    assert run_dir.busy_pids() == []
    with run_dir.busy():
        assert run_dir.busy_pids() == [os.getpid()]
    assert run_dir.busy_pids() == []
    with pytest.raises(ValueError, match="went wrong"), run_dir.busy():
        raise ValueError("went wrong")
    assert run_dir.busy_pids() == []


def test_a_process_that_died_with_work_in_hand_is_not_busy(tmp_path: Path) -> None:
    (tmp_path / f"busy-{dead_pid()}").touch()
    assert RunDir(tmp_path).busy_pids() == []
    assert list(tmp_path.iterdir()) == []


def test_leases_of_the_dead_are_named_once_and_those_of_the_living_never(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.introduce("host:1:mine")
    (tmp_path / f"owner-{dead_pid()}").write_text("host:2:theirs")
    assert run_dir.orphaned() == ["host:2:theirs"]
    assert run_dir.orphaned() == []


def test_whoever_cannot_write_there_goes_on_without(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "gone")
    run_dir.progressed()
    run_dir.introduce("host:1:mine")
    with run_dir.busy():
        assert run_dir.busy_pids() == []
    assert not run_dir.stop_asked()


def test_the_wish_to_stop_is_seen(tmp_path: Path) -> None:
    RunDir(tmp_path).ask_to_stop()
    assert RunDir(tmp_path).stop_asked()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it on Linux only")
def test_what_a_process_has_computed_grows_with_what_it_computes() -> None:
    before = cpu_s(os.getpid())
    assert before is not None
    until = time.process_time() + 0.2
    while time.process_time() < until:
        sum(range(1000))
    after = cpu_s(os.getpid())
    assert after is not None
    assert 0.1 <= after - before <= 30.0
    assert cpu_s(dead_pid()) is None
