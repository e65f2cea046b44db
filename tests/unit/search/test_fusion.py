"""Fusion against sums written out."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.fusion import evidence_fusion, reciprocal_rank_fusion

rankings = st.lists(st.lists(st.integers(1, 30), unique=True, max_size=12), min_size=1, max_size=3)


@given(rankings)
def test_reciprocal_rank_fusion_equals_the_sum_of_the_paper(lists: list[list[int]]) -> None:
    weights = [1.0, 0.5, 2.0][: len(lists)]
    expected: dict[int, float] = defaultdict(float)
    for ids, weight in zip(lists, weights, strict=True):
        for rank, image_id in enumerate(ids, start=1):
            expected[image_id] += weight / (60 + rank)
    ids, scores = reciprocal_rank_fusion(
        [np.array(each, dtype=np.int64) for each in lists], weights
    )
    assert ids.tolist() == sorted(expected, key=lambda i: (-expected[i], i))
    assert scores.tolist() == pytest.approx([expected[i] for i in ids.tolist()], rel=1e-5)


def test_evidence_adds_up_and_what_is_missing_counts_as_the_weakest() -> None:
    words = np.array([1, 2, 3]), np.array([5.0, 1.0, 0.0], dtype=np.float32)
    look = np.array([3, 4]), np.array([4.0, -1.0], dtype=np.float32)
    ids, scores = evidence_fusion([words, look], [1.0, 2.0])
    assert dict(zip(ids.tolist(), scores.tolist(), strict=True)) == {
        1: 5 - 2, 2: 1 - 2, 3: 0 + 8, 4: 0 - 2,
    }  # fmt: skip
    assert ids.tolist() == [3, 1, 2, 4]


def test_nothing_fused_with_something_is_something() -> None:
    nothing = np.array([], dtype=np.int64), np.array([], dtype=np.float32)
    something = np.array([7, 8]), np.array([1.0, 2.0], dtype=np.float32)
    assert evidence_fusion([nothing, something], [1, 1])[0].tolist() == [8, 7]
    assert reciprocal_rank_fusion([nothing[0], something[0]], [1, 1])[0].tolist() == [7, 8]
