from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from likeness.imaging.thumbnails import thumbnail
from tests.unit.imaging.drawing import gradient, mean_off_by


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 200))
def test_thumbnails_fit_the_side_keep_the_aspect_and_never_grow(
    width: int, height: int, side: int
) -> None:
    made = opened(thumbnail(np.zeros((height, width, 3), np.uint8), side))
    assert max(made.size) == min(side, max(width, height))
    scale = max(made.size) / max(width, height)
    assert made.width == pytest.approx(width * scale, abs=1)
    assert made.height == pytest.approx(height * scale, abs=1)


def test_a_thumbnail_looks_like_its_picture() -> None:
    made = opened(thumbnail(gradient(480, 320), 48)).convert("RGB")
    assert mean_off_by(np.asarray(made), gradient(48, 32)) < 6


def test_a_thumbnail_needs_a_side() -> None:
    with pytest.raises(ValueError, match="side"):
        thumbnail(gradient(), 0)
