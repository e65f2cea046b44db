"""Leases are renewed while work goes on, and work hears when it should not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import pytest

from likeness.catalog.serving.ledger import Ledger, Renewed
from likeness.catalog.serving.work import Work, WorkState
from likeness.errors import CatalogUnavailable
from workers.leases import Leases, Why

LEASE_S = 0.6


def piece(number: int) -> Work:
    return Work(number, 1, "embed", "gpu", 0, 5, 1, WorkState.LEASED, 1, "me", 60.0, None, b"")


class FakeLedger:
    """Renews what it is told to, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[frozenset[int], float]] = []
        self.lost: set[int] = set()
        self.stopped: set[int] = set()
        self.away = False

    def renew(self, owner: str, leases: Iterable[Work], lease_s: float) -> Renewed:
        assert owner == "me"
        ids = frozenset(work.id for work in leases)
        self.asked.append((ids, lease_s))
        if self.away:
            raise CatalogUnavailable("the database is away")
        return Renewed(ids - self.lost, ids & self.stopped)


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def leases(ledger: FakeLedger, stopping: threading.Event) -> Iterator[Leases]:
    found = Leases(lambda: cast(Ledger, ledger), "me", LEASE_S, stopping)
    found.start()
    yield found
    found.close()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_held_is_renewed_until_it_is_released(leases: Leases, ledger: FakeLedger) -> None:
    leases.hold(piece(1))
    leases.hold(piece(2))
    eventually(lambda: len(ledger.asked) >= 2)
    assert ledger.asked[-1] == (frozenset({1, 2}), LEASE_S)
    leases.release(piece(1))
    leases.release(piece(2))
    time.sleep(0.3)
    count = len(ledger.asked)
    time.sleep(LEASE_S)
    assert len(ledger.asked) == count


def test_a_lease_of_its_own_length_is_renewed_for_that(leases: Leases, ledger: FakeLedger) -> None:
    leases.hold(piece(1))
    leases.hold(piece(2), lease_s=300.0)
    eventually(lambda: len(ledger.asked) >= 2)
    assert {(frozenset({1}), LEASE_S), (frozenset({2}), 300.0)} <= set(ledger.asked)


def test_a_lease_that_is_anothers_by_now_is_lost(leases: Leases, ledger: FakeLedger) -> None:
    mine, theirs = leases.hold(piece(1)), leases.hold(piece(2))
    ledger.lost = {2}
    eventually(theirs.stop.is_set)
    assert theirs.why is Why.LOST
    assert mine.why is None


def test_work_of_a_cancelled_job_is_told_so(leases: Leases, ledger: FakeLedger) -> None:
    held = leases.hold(piece(1))
    ledger.stopped = {1}
    eventually(held.stop.is_set)
    assert held.why is Why.CANCELLED


def test_a_database_that_is_away_is_asked_again_and_nothing_is_given_up(
    leases: Leases, ledger: FakeLedger
) -> None:
    ledger.away = True
    held = leases.hold(piece(1))
    eventually(lambda: len(ledger.asked) >= 2)
    assert held.why is None
    ledger.away, count = False, len(ledger.asked)
    eventually(lambda: len(ledger.asked) > count)
    assert held.why is None


def test_work_that_takes_its_whole_slice_is_asked_to_hand_back(leases: Leases) -> None:
    held = leases.hold(piece(1), for_s=0.1)
    eventually(held.stop.is_set)
    assert held.why is Why.LATE


def test_all_work_is_told_when_its_worker_stops(leases: Leases, stopping: threading.Event) -> None:
    held = [leases.hold(piece(number)) for number in (1, 2)]
    stopping.set()
    eventually(lambda: all(one.stop.is_set() for one in held))
    assert [one.why for one in held] == [Why.STOPPING, Why.STOPPING]


def test_a_lost_lease_is_the_last_word_and_else_the_first_reason_stands(leases: Leases) -> None:
    held = leases.hold(piece(1))
    for why in (Why.CANCELLED, Why.STOPPING):
        held.halt(why)
    assert held.why is Why.CANCELLED
    held.halt(Why.LOST)
    assert held.why is Why.LOST
