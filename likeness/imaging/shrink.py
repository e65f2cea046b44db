"""Pixels made small enough to be worth carrying between processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from likeness.types import RgbImage


@dataclass(frozen=True, slots=True)
class Shrink:
    """Scales pictures down to a shorter side of `side` pixels; never enlarges. Picklable.

    longest: bound of the longer side, for panoramas of any length.
    """

    side: int
    longest: int

    def __call__(self, pixels: RgbImage) -> RgbImage:
        """uint8 [h, w, 3] → the same picture, contiguous, at most as large as asked."""
        height, width = pixels.shape[:2]
        scale = min(1.0, self.side / min(height, width), self.longest / max(height, width))
        if scale == 1.0:
            return np.ascontiguousarray(pixels)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))
