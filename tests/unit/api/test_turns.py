"""Who may compute, and on how many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api import encoders
from api.encoders import Turns
from likeness.encoders.threads import threads_here


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "threads_here", lambda: 4)


def test_a_call_alone_has_all_threads_and_a_second_one_half() -> None:
    turns, first_in, second_out = Turns("cpu"), threading.Event(), threading.Event()

    def first() -> int:
        with turns.one():
            first_in.set()
            assert second_out.wait(20)
            return threads_here()

    def second() -> int:
        assert first_in.wait(20)
        with turns.one():
            found = threads_here()
        second_out.set()
        return found

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(first), pool.submit(second)]
        assert [each.result() for each in answers] == [4, 2]
    with turns.one():
        assert threads_here() == 4


@pytest.mark.parametrize(("device", "places"), [("cpu", 2), ("cuda", 1), ("mps", 1)])
def test_two_at_a_time_on_a_cpu_and_one_on_a_gpu(device: str, places: int) -> None:
    turns, lock, here, most = Turns(device), threading.Lock(), 0, 0

    def call() -> None:
        nonlocal here, most
        with turns.one():
            with lock:
                here += 1
                most = max(most, here)
            threading.Event().wait(0.01)
            with lock:
                here -= 1

    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(call) for _ in range(24)]:
            each.result()
    assert most == places


def test_a_call_that_is_alone_for_a_moment_leaves_half_to_those_who_will_compute() -> None:
    company = True
    turns = Turns("cpu", lambda: company)
    with turns.one():
        assert threads_here() == 2
    company = False
    with turns.one():
        assert threads_here() == 4


def test_a_place_is_free_again_after_an_error() -> None:
    turns = Turns("cuda")
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), turns.one():
            raise ValueError("no")
