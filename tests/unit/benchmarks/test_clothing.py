"""The figures of class retrieval, on rankings small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clothing import mean_average_precision

NOT_ITSELF = -np.inf


def test_mean_average_precision_is_the_mean_of_what_is_counted_by_hand() -> None:
    labels = np.array(["hat", "hat", "shoe", "hat"])
    scores = np.array(
        [
            [NOT_ITSELF, 0.9, 0.8, 0.7],  # hat, shoe, hat: (1/1 + 2/3) / 2
            [0.1, NOT_ITSELF, 0.9, 0.2],  # shoe, hat, hat: (1/2 + 2/3) / 2
            [0.1, 0.2, NOT_ITSELF, 0.3],  # alone in its class: left out
            [0.9, 0.8, 0.1, NOT_ITSELF],  # hat, hat, shoe: 1
        ],
        dtype=np.float32,
    )
    expected = ((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2 + 1) / 3
    assert mean_average_precision(scores, labels) == pytest.approx(expected)
