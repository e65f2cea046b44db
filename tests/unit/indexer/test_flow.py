from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.flow import Prefetch, look_ahead


@given(st.lists(st.integers()), st.integers(1, 5))
def test_look_ahead_keeps_order_and_loses_nothing(items: list[int], limit: int) -> None:
    pairs = list(look_ahead(items, lambda item: item + 1, limit=limit))
    assert pairs == [(item, item + 1) for item in items]


@given(st.lists(st.integers(0, 10), max_size=30), st.integers(1, 6), st.integers(1, 20))
def test_look_ahead_never_holds_more_than_its_bounds(
    weights: list[int], limit: int, weight_limit: int
) -> None:
    submitted: list[int] = []
    yielded = 0
    ahead = look_ahead(
        weights, submitted.append, limit=limit, weight=lambda w: w, weight_limit=weight_limit
    )
    for _ in ahead:
        held = submitted[yielded:]
        assert len(held) <= limit
        assert len(held) == 1 or sum(held) <= weight_limit
        yielded += 1
    assert yielded == len(weights)


def test_look_ahead_overlaps_slow_work() -> None:
    started = threading.Barrier(3, timeout=10)

    def work(item: int) -> int:
        started.wait()  # passes only when three items are at work together
        return item

    with ThreadPoolExecutor(3) as executor:
        pairs = look_ahead([1, 2, 3], lambda item: executor.submit(work, item), limit=3)
        results = [future.result() for _, future in pairs]
    assert results == [1, 2, 3]


def test_prefetch_yields_everything_in_order() -> None:
    with Prefetch(iter(range(100)), 3, "test") as items:
        assert list(items) == list(range(100))


def test_prefetch_raises_the_producers_error_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no third")

    with Prefetch(failing(), 1, "test") as prefetched:
        items = iter(prefetched)
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(ValueError, match="no third"):
            next(items)


def test_prefetch_stays_within_its_capacity_and_stops_when_left() -> None:
    produced: list[int] = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            produced.append(number)
            yield number
            number += 1

    with Prefetch(endless(), 2, "test") as items:
        assert next(iter(items)) == 0
        time.sleep(0.3)
        # One taken, two queued, one in the producer's hand.
        assert len(produced) <= 4
    assert threading.active_count() < 50
