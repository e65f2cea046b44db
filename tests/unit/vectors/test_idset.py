"""Sets of ids behave as sets do, whichever way the positions are found."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from likeness.vectors.idset import IdSet, positions_in

near_ids = st.sets(st.integers(0, 60))
far_ids = st.sets(st.integers(0, 2**62))
any_ids = near_ids | far_ids


@given(any_ids, any_ids)
def test_positions_are_those_of_the_common_members(held: set[int], wanted: set[int]) -> None:
    mine, others = IdSet(held), IdSet(wanted)
    found = positions_in(mine.ids, others.ids)
    assert found.dtype == np.int64
    assert mine.ids[found].tolist() == sorted(held & wanted)


@given(any_ids, any_ids)
def test_set_algebra(a: set[int], b: set[int]) -> None:
    left, right = IdSet(a), IdSet(b)
    assert list(left | right) == sorted(a | b)
    assert list(left & right) == sorted(a & b)
    assert list(left - right) == sorted(a - b)
    assert all((x in left) == (x in a) for x in a | b | {61})


def test_unsorted_ids_with_repeats_are_put_in_order() -> None:
    assert list(IdSet(np.array([5, 1, 5, 3]))) == [1, 3, 5]


def test_a_set_does_not_follow_the_array_that_it_was_made_of() -> None:
    source = np.array([1, 2, 3])
    ids = IdSet(source)
    source[0] = 0
    assert list(ids) == [1, 2, 3]
