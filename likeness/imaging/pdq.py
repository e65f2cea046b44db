"""PDQ, the perceptual hash of Facebook's "The TMK+PDQF Video-Hashing Algorithm and the PDQ
Image-Hashing Algorithm" (2019), as matrix products.

The reference blurs with two box filters per axis and then samples 64 × 64 points. Both are linear
and separable, so the whole reduction of an image is R Y Cᵀ with two small matrices that depend on
its height and width only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from likeness.types import RgbImage

_SIDE = 64
_FREQUENCIES = 16
_PASSES = 2
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_QUALITY_DIVISOR = 90  # of the sum of gradients in percent of the range: the reference's constant

Block = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PdqBlock:
    """The reduced image: luma float32 [64, 64] in 0..255, from which all hashes follow."""

    luma: Block

    def quality(self) -> int:
        """0..100: how much structure there is to hash; below about 50 hashes say little."""
        steps = [np.trunc(np.diff(self.luma, axis=axis) * (100 / 255)) for axis in (0, 1)]
        total = sum(int(np.abs(step).sum()) for step in steps)
        return min(100, total // _QUALITY_DIVISOR)

    def hash(self) -> bytes:
        """32 bytes; all zero when the image is of one colour."""
        return _bits(self.luma)

    def dihedral_hashes(self) -> list[bytes]:
        """The hashes of the eight rotations and mirror images.

        Order: upright, rotated by 90, 180 and 270 degrees anticlockwise, upside down, left and
        right swapped, and mirrored at the falling and at the rising diagonal.
        """
        upright = self.luma
        turned = [np.rot90(upright, quarter) for quarter in range(4)]
        mirrored = [upright[::-1], upright[:, ::-1], upright.T, upright[::-1, ::-1].T]
        return [_bits(each) for each in (*turned, *mirrored)]


def reduce_image(pixels: RgbImage) -> PdqBlock:
    """Blur and sample an image to its 64 × 64 block. pixels: uint8 [h, w, 3] sRGB, h, w >= 1."""
    luma = pixels.astype(np.float32) @ _LUMA
    height, width = luma.shape
    return PdqBlock(_reduction(height) @ luma @ _reduction(width).T)


@lru_cache(maxsize=256)
def _reduction(length: int) -> Block:
    """float32 [64, length]: two box filters and the sampling of one axis."""
    samples = ((np.arange(_SIDE) + 0.5) * length / _SIDE).astype(int)
    box = _box(length)
    filtered = box[samples]
    for _ in range(_PASSES - 1):  # only the sampled rows of the product are needed
        filtered = filtered @ box
    reduction: Block = np.ascontiguousarray(filtered, dtype=np.float32)
    return reduction


def _box(length: int) -> npt.NDArray[np.float64]:
    """float64 [length, length]: each row the mean of a window that shrinks at the ends."""
    window = -(-length // (2 * _SIDE))
    ahead = (window + 2) // 2
    rows = np.arange(length)[:, None]
    columns = np.arange(length)[None, :]
    inside = (columns < rows + ahead) & (columns >= rows + ahead - window)
    means: npt.NDArray[np.float64] = inside / inside.sum(axis=1, keepdims=True)
    return means


@lru_cache(maxsize=1)
def _cosines() -> Block:
    """float32 [16, 64]: the DCT-II frequencies 1 to 16, without the mean."""
    frequency = np.arange(1, _FREQUENCIES + 1)[:, None]
    position = 2 * np.arange(_SIDE)[None, :] + 1
    cosines = np.sqrt(2 / _SIDE) * np.cos(np.pi / (2 * _SIDE) * frequency * position)
    table: Block = cosines.astype(np.float32)
    return table


def _bits(block: Block) -> bytes:
    """Which of the 256 DCT coefficients lie above their (lower) median, last one first."""
    spectrum = (_cosines() @ block @ _cosines().T).reshape(-1)
    median = np.partition(spectrum, spectrum.size // 2 - 1)[spectrum.size // 2 - 1]
    return np.packbits((spectrum > median)[::-1]).tobytes()
