"""Measures against definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.evaluation.metrics import (
    average_precision,
    precision_at,
    recalled_at,
    trapezoid_average_precision,
)


def marks(text: str) -> np.ndarray:
    return np.array([letter == "+" for letter in text])


def test_average_precision_of_a_worked_example() -> None:
    assert average_precision(marks("+-+--"), 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(marks("+-+--"), 3) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision(marks("---"), 2) == 0
    assert average_precision(marks(""), 0) == 0


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 5))
def test_trapezoid_precision_equals_the_loop_over_the_curve(hits: list[bool], missing: int) -> None:
    positives = sum(hits) + missing
    area, found = 0.0, 0
    for place, hit in enumerate(hits):
        if hit:
            before = 1.0 if place == 0 else found / place
            found += 1
            area += (before + found / (place + 1)) / 2 / positives
    assert trapezoid_average_precision(np.array(hits, dtype=bool), positives) == pytest.approx(area)


def test_precision_and_recall_at_k() -> None:
    answer = marks("-+--+")
    assert precision_at(answer, 2) == 0.5
    assert precision_at(answer, 10) == 0.2
    assert recalled_at(answer, 1) == 0
    assert recalled_at(answer, 2) == 1
