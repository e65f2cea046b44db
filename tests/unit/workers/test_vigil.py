"""When a worker is judged to do nothing although it could."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.vigil import BUSY_FACTOR, Seen, Verdict, Vigil

STALL_S = 30.0
LOOK_S = 2.0


def idle(sign: int = 0, waiting: int | None = 1) -> Seen:
    return Seen(sign, {}, waiting)


def busy(sign: int = 0, computed_s: float | None = 0.0, waiting: int | None = 0) -> Seen:
    return Seen(sign, {7: computed_s}, waiting)


def watch(looks: Iterable[Seen]) -> list[Verdict]:
    """The verdicts of looks two seconds apart."""
    vigil = Vigil(STALL_S)
    vigil.begin(100.0)
    return [vigil.judge(seen, 100.0 + LOOK_S * (n + 1)) for n, seen in enumerate(looks)]


def stalled_after(looks: Iterable[Seen]) -> float | None:
    """Seconds until the first look at which it counts as stalled."""
    for number, verdict in enumerate(watch(looks)):
        if verdict.stalled:
            return LOOK_S * (number + 1)
    return None


def test_a_worker_that_takes_nothing_though_work_waits_is_stalled_after_the_time_set() -> None:
    assert stalled_after([idle()] * 60) == STALL_S + LOOK_S


def test_a_worker_without_work_may_be_idle_for_ever() -> None:
    assert stalled_after([idle(waiting=0)] * 600) is None


def test_work_that_arrives_after_a_long_rest_finds_a_patient_judge() -> None:
    looks = [idle(waiting=0)] * 600 + [idle()] * 60
    assert stalled_after(looks) == 600 * LOOK_S + STALL_S + LOOK_S


def test_a_worker_that_cannot_reach_database_or_broker_is_not_to_blame_until_it_can() -> None:
    looks = [idle(waiting=None)] * 100 + [idle()] * 60
    assert stalled_after(looks) == 100 * LOOK_S + STALL_S + LOOK_S
    assert stalled_after([busy(waiting=None)] * 300) is None


def test_one_sign_of_life_is_worth_the_whole_time() -> None:
    looks = [idle()] * 14 + [idle(sign=5)] * 60
    assert stalled_after(looks) == 15 * LOOK_S + STALL_S + LOOK_S


def test_a_sign_counts_whichever_way_the_clock_went() -> None:
    """Signs are times of a wall clock, and such clocks jump back."""
    looks = [idle(sign=10)] * 14 + [idle(sign=3)]
    assert watch(looks)[-1].idle_s == 0.0


def test_work_in_hand_that_neither_gives_signs_nor_computes_hangs_even_if_nothing_waits() -> None:
    assert stalled_after([busy()] * 300) == BUSY_FACTOR * STALL_S + 2 * LOOK_S


def test_work_that_computes_without_a_sign_is_left_alone() -> None:
    looks = [busy(computed_s=0.25 * number) for number in range(600)]
    assert stalled_after(looks) is None


def test_threads_that_only_look_around_do_not_pass_for_work() -> None:
    looks = [busy(computed_s=0.02 * number) for number in range(600)]
    assert stalled_after(looks) == BUSY_FACTOR * STALL_S + 2 * LOOK_S


def test_where_computing_cannot_be_seen_only_the_time_limit_ends_work() -> None:
    assert stalled_after([busy(computed_s=None)] * 600) is None


def test_after_its_work_is_done_a_worker_has_the_shorter_patience_again() -> None:
    looks = [busy(sign=1, waiting=9)] * 20 + [idle(sign=2, waiting=9)] * 60
    assert stalled_after(looks) == 21 * LOOK_S + STALL_S + LOOK_S


def test_a_new_process_has_as_much_time_as_the_one_before_it() -> None:
    vigil = Vigil(STALL_S)
    vigil.begin(0.0)
    assert vigil.judge(idle(), 31.0).stalled
    vigil.begin(31.5)
    assert not vigil.judge(idle(), 60.0).stalled
    assert vigil.judge(idle(), 62.0).stalled


@given(
    st.lists(
        st.builds(
            Seen,
            st.integers(0, 3),
            st.dictionaries(st.integers(1, 2), st.none() | st.floats(0, 50), max_size=2),
            st.none() | st.integers(0, 3),
        ),
        max_size=80,
    )
)
def test_nothing_is_stalled_before_it_was_quiet_for_the_time_set(looks: list[Seen]) -> None:
    last_sign_at, sign = 0.0, 0
    for number, (seen, verdict) in enumerate(zip(looks, watch(looks), strict=True)):
        now = LOOK_S * (number + 1)
        if seen.sign != sign:
            last_sign_at, sign = now, seen.sign
        assert verdict.quiet_s <= now - last_sign_at
        if verdict.stalled:
            assert now - last_sign_at > STALL_S
            assert seen.waiting is not None


@pytest.mark.parametrize("seen", [idle(sign=1), busy(sign=1)])
def test_idle_time_is_told_from_the_first_sign_on(seen: Seen) -> None:
    first, second = watch([idle(), seen])
    assert first.idle_s is None
    assert second.idle_s == 0.0
