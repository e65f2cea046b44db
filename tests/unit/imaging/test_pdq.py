"""Our PDQ is the reference's: known hashes, and, where its package is installed, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.imaging.pdq import reduce_image
from likeness.imaging.perceptual import hamming, perceptual_hash
from likeness.types import RgbImage


def _waves(height: int, width: int, seed: int) -> RgbImage:
    """Smooth, irrational structure in every channel: no coefficient is near the median."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width]
    channels = []
    for _ in range(3):
        fy, fx, phase = rng.uniform(0.01, 0.11, 3)
        wave = np.sin(ys * fy + phase) * np.cos(xs * fx + 3 * phase) + np.sin((ys + xs) * fy * fx)
        channels.append(127 + 60 * wave)
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


# Computed with Facebook's implementation (pdqhash 0.2.8).
KNOWN = {
    (200, 300, 1): "fd07e926f907a906c507a9065007a90600070107fff8a958e9f956bafffb56ba",
    (512, 97, 2): "e8a93554a8a9d554aaa95554aaa95554aaa95554aaa8aaabaaa957575556aeaf",
    (131, 512, 3): "d542ffc3d542ffc35542fea35542fb835542aa835542eaa355520003ffcd554a",
}


@pytest.mark.parametrize(("height", "width", "seed"), sorted(KNOWN))
def test_hashes_are_those_of_the_reference(height: int, width: int, seed: int) -> None:
    found = reduce_image(_waves(height, width, seed)).hash()
    assert hamming(found, bytes.fromhex(KNOWN[height, width, seed])) <= 2


def test_every_size_agrees_with_the_reference_bit_by_bit() -> None:
    pdqhash = pytest.importorskip("pdqhash", reason="pdqhash is not installed to compare with")
    rng = np.random.default_rng(0)
    for seed in range(40):
        height, width = rng.integers(70, 513, 2)
        pixels = _waves(int(height), int(width), seed)
        bits, quality = pdqhash.compute(pixels)
        block = reduce_image(pixels)
        assert hamming(block.hash(), np.packbits(bits).tobytes()) <= 2
        assert block.quality() == pytest.approx(quality, abs=1)
        eight, _ = pdqhash.compute_dihedral(pixels)
        for ours, theirs in zip(block.dihedral_hashes(), eight, strict=True):
            assert hamming(ours, np.packbits(theirs).tobytes()) <= 4


def test_the_reduction_is_two_box_filters_and_a_sample_of_each_cell() -> None:
    """Brute force, pixel by pixel, on a size whose window is even (4) and one where it is odd."""
    for height, width in ((385, 300), (90, 512)):
        pixels = _waves(height, width, 7)
        luma = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        for axis in (0, 1) * 2:
            luma = np.apply_along_axis(_box_filter, axis, luma)
        rows = [int((i + 0.5) * height / 64) for i in range(64)]
        columns = [int((j + 0.5) * width / 64) for j in range(64)]
        assert np.allclose(reduce_image(pixels).luma, luma[np.ix_(rows, columns)], atol=0.01)


def _box_filter(line: np.ndarray) -> np.ndarray:
    window = -(-len(line) // 128)
    ahead = (window + 2) // 2
    return np.array([
        line[max(0, i + ahead - window) : i + ahead].mean() for i in range(len(line))
    ])  # fmt: skip


def test_an_image_of_one_colour_or_of_a_few_pixels_has_no_hash() -> None:
    assert perceptual_hash(np.full((80, 80, 3), 200, np.uint8)) == (None, 0)
    assert perceptual_hash(_waves(4, 300, 1)) == (None, 0)


def test_mirroring_and_turning_an_image_gives_the_hashes_that_were_promised() -> None:
    pixels = _waves(256, 256, 5)
    turned = [np.rot90(pixels, quarter) for quarter in range(4)]
    mirrored = [pixels[::-1], pixels[:, ::-1], pixels.transpose(1, 0, 2)]
    mirrored.append(pixels[::-1, ::-1].transpose(1, 0, 2))
    promised = reduce_image(pixels).dihedral_hashes()
    for image, expected in zip((*turned, *mirrored), promised, strict=True):
        found = reduce_image(np.ascontiguousarray(image)).hash()
        assert hamming(found, expected) <= 24  # sampling is half a pixel off after turning
