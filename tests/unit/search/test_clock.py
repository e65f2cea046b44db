"""Where the time of a search went."""

from __future__ import annotations

import time

import pytest

from search.clock import Clock


def test_a_stage_within_another_counts_for_itself_only() -> None:
    clock = Clock()
    with clock.stage("outer"):
        for _ in range(2):
            with clock.stage("inner"):
                time.sleep(0.02)
    with clock.stage("outer"), pytest.raises(ValueError, match="x"), clock.stage("broken"):
        raise ValueError("x")
    assert set(clock.spent_ms) == {"outer", "inner", "broken"}
    assert clock.spent_ms["inner"] >= 40
    assert clock.spent_ms["outer"] < clock.spent_ms["inner"]
