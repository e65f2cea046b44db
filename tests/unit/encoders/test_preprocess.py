"""Our squares against those of timm's and OpenCLIP's own transforms, bit for bit."""

from __future__ import annotations

import pickle
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data.transforms_factory import create_transform

from likeness.encoders.preprocess import Interpolation, Preprocess, ResizeMode
from likeness.types import RgbImage

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
GREY_OF_MEAN = (128, 102, 76)
TIMM_MODES: dict[ResizeMode, str] = {
    "shortest": "center",
    "squash": "squash",
    "longest": "border",
}


def picture(height: int, width: int, seed: int = 0) -> RgbImage:
    """Smooth shapes with grain: neither flat nor pure noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    grain = rng.integers(-12, 13, (height, width, 3))
    return cast(RgbImage, np.clip(smooth + grain, 0, 255).astype(np.uint8))


def as_timm_prepares(image: RgbImage, ours: Preprocess) -> RgbImage:
    transform = cast(Any, create_transform)(
        (3, ours.size, ours.size),
        interpolation=ours.interpolation,
        crop_pct=ours.crop_pct,
        crop_mode=TIMM_MODES[ours.resize],
        mean=ours.mean,
        std=ours.std,
        normalize=False,
    )
    return cast(RgbImage, transform(Image.fromarray(image)).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@given(
    height=st.integers(1, 500),
    aspect=st.floats(1 / 5.9, 5.9),
    size=st.sampled_from([64, 224, 225]),
)
@settings(max_examples=8, deadline=None)
def test_squares_equal_those_of_timm_bit_for_bit(
    mode: ResizeMode,
    crop_pct: float,
    interpolation: Interpolation,
    height: int,
    aspect: float,
    size: int,
) -> None:
    width = min(900, max(round(height * aspect), height // 5, 1))
    image = picture(height, width)
    fill = GREY_OF_MEAN if mode == "longest" else (0, 0, 0)
    ours = Preprocess(size, mode, interpolation, crop_pct, MEAN, STD, fill)
    np.testing.assert_array_equal(ours(image), as_timm_prepares(image, ours))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("shape", [(300, 400), (401, 300), (224, 224), (97, 31), (60, 340)])
def test_squares_equal_those_of_open_clip_up_to_float_rounding(
    mode: ResizeMode, interpolation: Interpolation, shape: tuple[int, int]
) -> None:
    image = picture(*shape)
    config = PreprocessCfg(
        size=224, mean=MEAN, std=STD, interpolation=interpolation, resize_mode=mode
    )
    theirs = image_transform_v2(config, is_train=False)(Image.fromarray(image))
    squares = Preprocess(224, mode, interpolation, mean=MEAN, std=STD)(image)
    normalised = (squares.astype(np.float32) / 255 - MEAN) / STD
    np.testing.assert_allclose(normalised, theirs.permute(1, 2, 0).numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (3, 2_000), (2_000, 300)])
def test_a_strip_is_prepared_without_growing_to_gigabytes(shape: tuple[int, int]) -> None:
    for mode in TIMM_MODES:
        prepared = Preprocess(224, mode, crop_pct=0.9)(picture(*shape))
        assert prepared.shape == (224, 224, 3)


@pytest.mark.parametrize("shape", [(40, 400), (500, 60)])
def test_the_window_of_a_strip_is_the_crop_of_the_whole_up_to_rounding(
    shape: tuple[int, int],
) -> None:
    image = picture(*shape)
    ours = Preprocess(224, "shortest", "bicubic", 0.9, MEAN, STD)
    difference = ours(image).astype(int) - as_timm_prepares(image, ours).astype(int)
    assert np.abs(difference).max() <= 4


@given(height=st.integers(1, 80), width=st.integers(1, 80), mode=st.sampled_from(list(TIMM_MODES)))
@settings(max_examples=60, deadline=None)
def test_any_image_becomes_a_square_and_stays_untouched(
    height: int, width: int, mode: ResizeMode
) -> None:
    image = np.full((height, width, 3), (10, 200, 90), np.uint8)
    before = image.copy()
    prepared = Preprocess(32, mode, fill=(10, 200, 90))(image)
    assert prepared.shape == (32, 32, 3)
    assert prepared.dtype == np.uint8
    # A plain colour stays that colour wherever it lands.
    assert (prepared == (10, 200, 90)).all(axis=2).any()
    np.testing.assert_array_equal(image, before)


def test_a_view_with_strides_is_prepared_as_its_copy() -> None:
    image = picture(300, 500)
    flipped = image[:, ::-1]
    prepare = Preprocess(224)
    np.testing.assert_array_equal(prepare(flipped), prepare(flipped.copy()))


def test_a_batch_stacks_single_squares_in_order() -> None:
    images = [picture(50, 70, 1), picture(80, 30, 2)]
    prepare = Preprocess(64)
    batch = prepare.batch(images)
    np.testing.assert_array_equal(batch, np.stack([prepare(image) for image in images]))
    assert prepare.batch([]).shape == (0, 64, 64, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_what_is_not_an_rgb_image_is_refused(wrong: RgbImage) -> None:
    with pytest.raises(ValueError, match="uint8"):
        Preprocess(64)(wrong)


def test_it_travels_to_decode_workers() -> None:
    prepare = Preprocess(224, "squash", "bilinear", 0.95, MEAN, STD)
    assert pickle.loads(pickle.dumps(prepare)) == prepare


def test_decoding_keeps_twice_the_detail_that_is_needed() -> None:
    assert Preprocess(224, crop_pct=0.9).min_side == 3 * 248
