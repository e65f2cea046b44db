"""An explanation says where one picture lies in the other, in each picture's own coordinates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from likeness.encoders.preprocess import Preprocess
from likeness.types import RgbImage
from search.explain import explain, seen_box
from search.overlay import draw
from tests.fakes.encoder import FakeEncoder

GRID = 8


class PatchyEncoder(FakeEncoder):
    """Patch tokens are the pixels of each patch; attention is its brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, patch_grid=(GRID, GRID), heads=1)

    def _patches(self, images: Sequence[RgbImage]) -> np.ndarray:
        side = self.preprocess.size // GRID
        batch = self.preprocess.batch(images).reshape(len(images), GRID, side, GRID, side, 3)
        return batch.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), GRID * GRID, -1)

    def patch_tokens(self, images: Sequence[RgbImage]) -> np.ndarray:
        return self._patches(images).astype(np.float32)

    def attention(self, images: Sequence[RgbImage]) -> np.ndarray:
        bright = self._patches(images).mean(axis=2, dtype=np.float32)
        return (bright / bright.sum(axis=1, keepdims=True))[:, np.newaxis]


def mosaic(rows: int, columns: int, seed: int = 0) -> RgbImage:
    """Squares of 16 pixels in random colours, each with a texture of its own."""
    random = np.random.default_rng(seed)
    return random.integers(0, 255, (rows * 16, columns * 16, 3), dtype=np.uint8).repeat(1, axis=0)


def smooth(side: int, seed: int) -> RgbImage:
    cells = np.random.default_rng(seed).integers(0, 255, (GRID, GRID, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST))


def test_a_mirrored_picture_is_explained_by_its_mirror() -> None:
    image = mosaic(8, 8)
    found = explain(PatchyEncoder(), smooth(128, 3), smooth(128, 3)[:, ::-1])
    assert found.region is not None
    assert found.region.mirrored
    assert found.region.transform == pytest.approx(np.array([[-1, 0, 1], [0, 1, 0]]), abs=0.05)
    nothing = explain(PatchyEncoder(), image, mosaic(8, 8, seed=9))
    assert nothing.evidence < found.evidence / 3


def test_coordinates_are_relative_to_each_whole_image_not_to_the_encoders_square() -> None:
    square = smooth(128, 4)
    wide = np.zeros((128, 384, 3), dtype=np.uint8)
    wide[:, 128:256] = square  # the middle third, all the encoder sees of it
    found = explain(PatchyEncoder(), square, wide)
    assert found.region is not None
    assert found.region.query == pytest.approx((0, 0, 1, 1), abs=0.02)
    assert found.region.transform == pytest.approx(
        np.array([[1 / 3, 0, 1 / 3], [0, 1, 0]]), abs=0.03
    )
    corners = [(1 / 3, 0), (2 / 3, 0), (2 / 3, 1), (1 / 3, 1)]
    assert np.array(found.region.candidate) == pytest.approx(np.array(corners), abs=0.03)
    verified = [match for match in found.matches if match.verified]
    assert len(verified) == GRID * GRID
    for match in verified:
        assert match.candidate[0] == pytest.approx(1 / 3 + match.query[0] / 3, abs=0.01)


@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
@pytest.mark.parametrize(("width", "height"), [(100, 100), (300, 100), (90, 240)])
def test_the_seen_box_is_what_the_preprocessing_keeps(resize, width: int, height: int) -> None:
    """A picture whose red says x and whose green says y; rounding costs up to 1 pixel of 27."""
    preprocess = Preprocess(size=64, resize=resize, crop_pct=0.9, interpolation="bilinear")
    ramp = np.zeros((height, width, 3), dtype=np.uint8)
    ramp[..., 0] = np.rint(255 * (np.arange(width) + 0.5) / width)
    ramp[..., 1] = np.rint(255 * (np.arange(height) + 0.5) / height)[:, np.newaxis]
    ramp[..., 2] = 255
    seen = preprocess(ramp).astype(float)
    left, top, right, bottom = seen_box(preprocess, width, height)
    for row, column in [(32, 32), (28, 36), (34, 20), (40, 32)]:
        if seen[row, column, 2] < 250:
            continue  # padding
        x = left + (right - left) * (column + 0.5) / 64
        y = top + (bottom - top) * (row + 0.5) / 64
        assert seen[row, column, 0] / 255 == pytest.approx(x, abs=0.03)
        assert seen[row, column, 1] / 255 == pytest.approx(y, abs=0.03)


def test_an_encoder_without_patches_or_attention_says_so() -> None:
    found = explain(FakeEncoder(), smooth(64, 1), smooth(64, 2))
    assert found.region is None
    assert found.attention is None
    assert len(found.missing) == 2
    assert "no patch tokens" in found.missing[0]
    assert "no attention map" in found.missing[1]


def test_the_attention_map_is_where_the_encoder_looked() -> None:
    image = np.full((128, 128, 3), 20, dtype=np.uint8)
    image[:32, 96:] = 250
    found = explain(PatchyEncoder(), image, image)
    assert found.attention is not None
    assert found.attention[:2, -2:].min() > 5 * found.attention[2:, :-2].max()
    assert found.attention.max() == 1


def test_the_document_is_plain_json() -> None:
    found = explain(PatchyEncoder(), smooth(128, 3), smooth(128, 3))
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["region"]["mirrored"] is False
    assert len(document["attention"]["map"]) == GRID
    assert document["missing"] == []


def test_the_overlay_shows_three_panels_and_marks_the_shared_region() -> None:
    query, candidate = smooth(128, 3), smooth(128, 3)
    found = explain(PatchyEncoder(), query, candidate)
    sheet = draw(found, query, candidate, height=200)
    assert sheet.shape == (200, 3 * 200 + 2 * 12, 3)
    plain = np.asarray(Image.fromarray(query).resize((200, 200), Image.Resampling.BICUBIC))
    assert (sheet[:, :200] != plain).any(axis=2).mean() > 0.05
    two = draw(explain(FakeEncoder(), query, candidate), query, candidate, height=200)
    assert two.shape == (200, 2 * 200 + 12, 3)
    assert (two[:, :200] == plain).all()


def test_a_very_wide_picture_does_not_make_a_very_wide_sheet() -> None:
    wide = np.zeros((2, 4000, 3), dtype=np.uint8)
    found = explain(FakeEncoder(), wide, wide)
    assert draw(found, wide, wide, height=100).shape == (100, 612, 3)
