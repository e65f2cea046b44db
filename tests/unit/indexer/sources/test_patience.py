from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.sources.patience import HostRates, PassingTrouble, patiently
from likeness.errors import UnreadableSource


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def rates(rate: float) -> tuple[HostRates, Clock]:
    clock = Clock()
    return HostRates(rate, clock=lambda: clock.now, sleep=clock.sleep), clock


@given(rate=st.floats(0.5, 200), count=st.integers(1, 300))
def test_no_host_is_asked_more_often_than_the_rate_after_its_first_second(
    rate: float, count: int
) -> None:
    taken, clock = rates(rate)
    for _ in range(count):
        taken.take("host")
    assert clock.now == pytest.approx(max(0.0, (count - max(1.0, rate)) / rate), abs=1e-6)


def test_hosts_do_not_wait_for_each_other() -> None:
    taken, clock = rates(1)
    for host in "abcdef":
        taken.take(host)
    assert clock.now == 0.0
    taken.take("a")
    assert clock.now == 1.0


def test_without_a_rate_nobody_waits() -> None:
    taken, clock = rates(0)
    for _ in range(1000):
        taken.take("host")
    assert clock.now == 0.0


def test_a_busy_server_is_asked_again_with_growing_pauses() -> None:
    clock, asked = Clock(), []

    def ask() -> str:
        asked.append(clock.now)
        if len(asked) < 4:
            raise PassingTrouble("x", "busy")
        return "done"

    assert patiently(ask, retries=3, sleep=clock.sleep, chance=lambda: 0.0) == "done"
    assert asked == [0.0, 0.5, 1.5, 3.5]


def test_a_server_that_names_a_time_gets_it_but_not_for_ever() -> None:
    for asks, gets in ((7.0, 7.0), (86_400.0, 60.0)):
        clock, times = Clock(), []

        def ask() -> None:
            times.append(clock.now)  # noqa: B023
            raise PassingTrouble("x", "busy", after_s=asks)  # noqa: B023

        with pytest.raises(PassingTrouble):
            patiently(ask, retries=1, sleep=clock.sleep)
        assert times == [0.0, gets]


def test_what_does_not_pass_by_itself_is_not_asked_again() -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        raise UnreadableSource("x", "forbidden")

    with pytest.raises(UnreadableSource):
        patiently(ask, retries=5, sleep=lambda _: None)
    assert len(asked) == 1
