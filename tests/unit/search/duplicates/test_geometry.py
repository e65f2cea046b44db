"""Copies are proven, whatever was done to them; other pictures are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from search.duplicates.edits import EDITS, Edit, edit_named
from search.duplicates.geometry import compare, sketch
from search.duplicates.verify import same_pixels
from tests.fakes.scenes import draw_scene


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edited_copy_agrees_with_its_original(edit: Edit) -> None:
    original = draw_scene(1)
    copy = edit(original, np.random.default_rng(2))
    assert np.array_equal(copy, edit(original, np.random.default_rng(2)))
    evidence = compare(sketch(original), sketch(copy))
    assert evidence is not None
    assert evidence.score >= 0.66


def test_other_pictures_do_not_agree() -> None:
    sketches = [sketch(draw_scene(seed)) for seed in range(8)]
    for first in range(8):
        for second in range(first):
            evidence = compare(sketches[first], sketches[second])
            assert evidence is None or evidence.score < 0.5


def test_the_transform_of_a_crop_says_which_part_it_is() -> None:
    original = draw_scene(3)
    copy = np.ascontiguousarray(original[30:150, 60:220])
    evidence = compare(sketch(original), sketch(copy))
    assert evidence is not None
    assert not evidence.mirrored
    assert evidence.area == pytest.approx(120 * 160 / (180 * 240), abs=0.05)
    assert evidence.other_area == pytest.approx(1.0, abs=0.07)
    # The middle of the crop in the original's frame is the middle of the copy's frame.
    middle = np.array([140 / 240, 90 / 180, 1.0])
    assert np.array(evidence.transform) @ middle == pytest.approx([0.5, 0.5], abs=0.02)
    back = evidence.reversed()
    assert np.array(back.transform) @ [0.5, 0.5, 1] == pytest.approx(middle[:2], abs=0.02)
    assert (back.area, back.other_area) == (evidence.other_area, evidence.area)


def test_a_mirrored_copy_is_said_to_be_mirrored() -> None:
    original = draw_scene(4)
    evidence = compare(
        sketch(original), sketch(edit_named("mirror")(original, np.random.default_rng()))
    )
    assert evidence is not None
    assert evidence.mirrored


def test_blank_and_tiny_pictures_are_compared_without_complaint() -> None:
    blank = np.full((50, 60, 3), 200, np.uint8)
    tiny = draw_scene(5)[:3, :2]
    for first in (blank, tiny, draw_scene(5)):
        for second in (blank, tiny):
            evidence = compare(sketch(first), sketch(second))
            assert evidence is None or 0 <= evidence.score <= 1


def test_recompression_keeps_the_same_pixels_and_a_stroke_does_not() -> None:
    original = draw_scene(6)
    saved = edit_named("webp-q30")(original, np.random.default_rng(0))
    fine = Image.fromarray(original)
    assert same_pixels(original, np.asarray(fine))
    assert not same_pixels(original, saved[:, :-1])
    marked = original.copy()
    marked[40:52, 40:52] = 255 - marked[40:52, 40:52]
    assert not same_pixels(original, marked)


def test_an_unknown_edit_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match="mirror"):
        edit_named("sharpen")
