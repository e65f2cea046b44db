from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.training.drawn import drawn_photo
from training.edits import GEOMETRIC, OVERLAID, PHOTOMETRIC, Edit, edit

ALL = tuple(dict.fromkeys((*GEOMETRIC, *PHOTOMETRIC, *OVERLAID)))


@pytest.mark.parametrize("one", ALL, ids=lambda e: e.__name__)
def test_an_edit_gives_rgb_leaves_its_input_alone_and_repeats_with_its_seed(one: Edit) -> None:
    for seed in range(12):
        photo = drawn_photo(seed)
        before = photo.tobytes()
        first, second = one(photo, random.Random(seed)), one(photo, random.Random(seed))
        assert first.mode == "RGB"
        assert min(first.size) >= 16
        assert photo.tobytes() == before
        assert np.array_equal(np.asarray(first), np.asarray(second))


@settings(max_examples=60, deadline=None)
@given(st.integers(), st.integers(17, 120), st.integers(17, 120))
def test_any_chain_of_edits_of_any_small_photo_holds(seed: int, width: int, height: int) -> None:
    changed = edit(drawn_photo(seed, (width, height)), random.Random(seed))
    assert changed.mode == "RGB"
    assert changed.width > 0
    assert changed.height > 0
