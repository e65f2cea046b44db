"""Images to the squares an encoder looks at, with Pillow and NumPy only.

`Preprocess` does what the libraries' own evaluation transforms do up to, and not including,
the conversion to a float tensor; the encoder normalises on its device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from likeness.types import PreparedBatch, RgbImage

ResizeMode = Literal["shortest", "squash", "longest"]
Interpolation = Literal["bicubic", "bilinear", "lanczos"]

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}

# Scaled images beyond this many times the encoder's square (aspect ratios beyond 1:6) are
# resampled only where the crop will look: a 1 x 60,000 pixel image would otherwise grow to
# gigabytes. Below it the whole is resized and then cropped, as the libraries do: resampling a
# window differs from that by one grey level here and there (four at most, measured).
_WHOLE_RESIZE_FACTOR = 6


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize and crop to uint8 [size, size, 3].

    resize: `shortest` scales the shorter side to floor(size / crop_pct) and crops the centre
    (padding with black where the image is too small to crop); `squash` scales both sides to it,
    whatever the aspect ratio, and crops the centre; `longest` scales the longer side to it and
    pads with `fill`.
    mean, std: per channel, of values in 0..1; applied by the encoder as (x / 255 - mean) / std.
    """

    size: int
    resize: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    crop_pct: float = 1.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fill: tuple[int, int, int] = (0, 0, 0)

    @property
    def resized_side(self) -> int:
        """The side that is scaled to, before cropping, in pixels."""
        return math.floor(self.size / self.crop_pct)

    @property
    def min_side(self) -> int:
        """Smallest side, in pixels, that a decoded image may have without the result changing
        noticeably: three times what the image is scaled to, so that the resampling filter still
        has detail to average over. Measured by benchmarks/decode.py: cosine >= 0.998 against full
        decoding with a ViT-Ti/16; twice goes down to 0.988."""
        return 3 * self.resized_side

    def batch(self, images: Sequence[RgbImage]) -> PreparedBatch:
        """Prepare n images: uint8 [n, size, size, 3], in input order."""
        prepared = np.empty((len(images), self.size, self.size, 3), dtype=np.uint8)
        for row, image in zip(prepared, images, strict=True):
            row[:] = self(image)
        return prepared

    def __call__(self, image: RgbImage) -> RgbImage:
        """Prepare one image. image: uint8 [h, w, 3], h, w >= 1. Returns uint8 [size, size, 3]."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(
                f"an image must be uint8 [h, w, 3] with h, w >= 1, not "
                f"{image.dtype} {list(image.shape)}; decode it with likeness.imaging first"
            )
        height, width = image.shape[:2]
        new_width, new_height = self._resized(width, height)
        picture = Image.fromarray(np.ascontiguousarray(image))
        left, out_width = _window(new_width, self.size)
        top, out_height = _window(new_height, self.size)
        filter_ = _RESAMPLING[self.interpolation]
        if new_width * new_height <= _WHOLE_RESIZE_FACTOR * self.resized_side**2:
            if (new_width, new_height) != (width, height):
                picture = picture.resize((new_width, new_height), filter_)
            part = picture.crop((left, top, left + out_width, top + out_height))
        else:
            box = (
                left * width / new_width,
                top * height / new_height,
                min((left + out_width) * width / new_width, width),
                min((top + out_height) * height / new_height, height),
            )
            part = picture.resize((out_width, out_height), filter_, box=box)
        pixels = np.asarray(part)
        if pixels.shape[:2] == (self.size, self.size):
            return pixels
        return self._padded(pixels)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the whole image after scaling, before cropping."""
        side = self.resized_side
        if self.resize == "squash":
            return side, side
        if self.resize == "longest":
            ratio = max(width, height) / side
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        if width <= height:
            return side, int(side * height / width)
        return int(side * width / height), side

    def _padded(self, pixels: RgbImage) -> RgbImage:
        """Centre `pixels` on a square of `fill`; an odd pixel goes to the right and the bottom."""
        height, width = pixels.shape[:2]
        square = np.empty((self.size, self.size, 3), dtype=np.uint8)
        square[:] = self.fill
        top, left = (self.size - height) // 2, (self.size - width) // 2
        square[top : top + height, left : left + width] = pixels
        return square


def _window(length: int, size: int) -> tuple[int, int]:
    """(start, length) of the centred window of at most `size` in `length` pixels."""
    if length <= size:
        return 0, length
    # round() to even, as torchvision's center_crop does.
    return round((length - size) / 2.0), size
