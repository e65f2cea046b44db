"""The tail against a dictionary that does the same, under changes in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness.errors import VectorError
from likeness.vectors.tail import Tail
from tests.fakes.vectors import as_queries, brute_force, unit_vectors

POOL = unit_vectors(64, 6, 0, groups=5)
NOBODY = np.empty(0, np.int64)
changes = st.lists(
    st.tuples(st.lists(st.integers(0, 63), unique=True, max_size=40), st.sets(st.integers(0, 63))),
    max_size=12,
)


@given(changes)
@settings(max_examples=60, deadline=None)
def test_it_holds_what_the_latest_change_of_each_image_says(
    steps: list[tuple[list[int], set[int]]],
) -> None:
    tail, truth = Tail(6), set[int]()
    query = as_queries(unit_vectors(1, 6, 3))
    for added, dead in steps:
        gone = np.array(sorted(dead - set(added)), np.int64)
        tail.apply(np.array(added, np.int64), POOL[added], gone)
        truth = (truth | set(added)) - set(gone.tolist())
        view = tail.view()
        assert len(tail) == len(truth) == len(view)
        assert view.ids.tolist() == sorted(truth) == list(tail.ids)
        ids = np.array(sorted(truth), np.int64)
        near, scores = view.search(query, 8).row(0)
        assert (near.tolist(), scores.tolist()) == brute_force(ids, POOL[ids], query[0], 8)


def test_a_view_does_not_change_when_the_tail_does() -> None:
    tail = Tail(6)
    tail.apply(np.arange(10), POOL[:10], NOBODY)
    view = tail.view()
    before = view.search(as_queries(POOL[:3]), 5)
    tail.apply(np.arange(10, 60), POOL[10:60], np.arange(5))
    after = view.search(as_queries(POOL[:3]), 5)
    assert before.ids.tolist() == after.ids.tolist()
    assert len(view) == 10


def test_an_image_added_again_takes_the_newer_vector() -> None:
    tail = Tail(6)
    tail.apply(np.array([7]), POOL[:1], NOBODY)
    tail.apply(np.array([7]), POOL[1:2], NOBODY)
    _, rows = tail.view().vectors(np.array([7]))
    assert (rows == POOL[1]).all()


def test_dead_rows_do_not_pile_up_in_memory() -> None:
    tail = Tail(6)
    for _ in range(200):
        tail.apply(np.arange(20), POOL[:20], NOBODY)
    assert len(tail) == 20
    assert tail.rows <= 256


def test_a_change_with_a_bad_vector_is_refused_whole() -> None:
    tail = Tail(6)
    tail.apply(np.array([1]), POOL[:1], NOBODY)
    with pytest.raises(VectorError):
        tail.apply(np.array([2, 3]), np.zeros((2, 6), np.float16), np.array([1]))
    assert list(tail.ids) == [1]
