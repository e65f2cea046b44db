"""Blank, black and blurred pictures are told from ordinary ones."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from search.clusters.emptiness import Emptiness, emptiness_of, near_empty
from tests.fakes.scenes import FakeLoader, draw_scene


def kind_of(pixels: np.ndarray) -> Emptiness | None:
    found = emptiness_of(pixels)
    return None if found is None else found[0]


def blurred(pixels: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def test_ordinary_pictures_are_not_empty() -> None:
    for seed in range(6):
        assert kind_of(draw_scene(seed)) is None


def test_black_and_blank_pictures_are_told_apart() -> None:
    noise = np.random.default_rng(0).integers(0, 6, (60, 80, 3)).astype(np.uint8)
    assert kind_of(noise) is Emptiness.BLACK
    assert kind_of(np.full((60, 80, 3), 128, np.uint8)) is Emptiness.BLANK
    assert kind_of(255 - noise) is Emptiness.BLANK


def test_a_blurred_picture_is_found_and_a_sharp_subject_saves_it() -> None:
    soft = blurred(draw_scene(1), 9)
    assert kind_of(soft) is Emptiness.BLURRED
    with_subject = soft.copy()
    with_subject[60:120, 80:160] = draw_scene(1)[60:120, 80:160]
    assert kind_of(with_subject) is None


def test_only_near_empty_ones_are_listed() -> None:
    loader = FakeLoader({"a": draw_scene(1), "b": np.zeros((40, 40, 3), np.uint8)})
    found = list(near_empty(loader, [(1, "a"), (2, "b"), (3, "gone")]))
    assert [(each.image_id, each.kind) for each in found] == [(2, Emptiness.BLACK)]


def test_tiny_pictures_are_not_called_blurred() -> None:
    assert kind_of(draw_scene(1)[:20, :20]) in (None, Emptiness.BLANK)
