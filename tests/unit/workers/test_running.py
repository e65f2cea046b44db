"""What work in hand becomes when it cannot go on."""

from __future__ import annotations

import pytest

from likeness.catalog.serving.work import Work, WorkState
from workers.leases import Held, Why
from workers.tasks.running import CalledOff, HandBack, stop_unfinished


def held(why: Why | None) -> Held:
    work = Work(1, 1, "scan", "io", 0, 5, 0, WorkState.LEASED, 1, "me", 60.0, None, b"")
    one = Held(work, None)
    if why is not None:
        one.halt(why)
    return one


@pytest.mark.parametrize("why", [Why.STOPPING, Why.LATE])
def test_work_that_stops_for_now_is_handed_back(why: Why) -> None:
    with pytest.raises(HandBack):
        stop_unfinished(held(why))


def test_work_of_a_cancelled_job_is_called_off_and_never_counts_as_done() -> None:
    with pytest.raises(CalledOff):
        stop_unfinished(held(Why.CANCELLED))


@pytest.mark.parametrize("why", [Why.LOST, None])
def test_work_that_is_somebody_elses_is_left_to_them(why: Why | None) -> None:
    stop_unfinished(held(why))
