"""PDQ perceptual hashes: 256 bits that survive resizing and recompression (Facebook, 2019)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from likeness.imaging.pdq import reduce_image
from likeness.types import RgbImage

HASH_BYTES = 32
_MAX_SIDE = 512
_MIN_SIDE = 5  # pixels; the reference hashes nothing smaller


def perceptual_hash(pixels: RgbImage) -> tuple[bytes | None, int]:
    """(32 bytes, quality 0..100) of `pixels`; (None, quality) when it has no structure to hash.

    pixels: uint8 [h, w, 3] sRGB. Two pictures count as copies below about 31 differing bits.
    """
    if min(pixels.shape[:2]) < _MIN_SIDE:
        return None, 0
    block = reduce_image(_bounded(pixels))
    quality = block.quality()
    return (block.hash() if quality else None), quality


def dihedral_hashes(pixels: RgbImage) -> tuple[list[bytes], int]:
    """The hashes of the eight rotations and mirror images of `pixels`, and their quality.

    Order: upright, rotated by 90, 180, 270 degrees, then the four mirror images. The upright hash
    is that of `perceptual_hash`.
    """
    block = reduce_image(_bounded(pixels))
    return block.dihedral_hashes(), block.quality()


def hamming(left: bytes, right: bytes) -> int:
    """How many of the bits differ, 0..256."""
    if len(left) != len(right):
        raise ValueError(f"hashes of {len(left)} and {len(right)} bytes cannot be compared")
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_count()


def _bounded(pixels: RgbImage) -> RgbImage:
    """At most 512 pixels a side, by averaging whole blocks: PDQ blurs to 64 × 64 anyway.

    Its own box filters come after this one, so hashes stay closer to those of the full image (5 of
    256 bits on average) than after any smoother resizing, and it is four times faster.
    """
    block = -(-max(pixels.shape[:2]) // _MAX_SIDE)
    if block == 1:
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(pixels).reduce(block))
