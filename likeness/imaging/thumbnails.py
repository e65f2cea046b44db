"""Small upright pictures for pages and contact sheets."""

from __future__ import annotations

import io

from PIL import Image

from likeness.types import RgbImage

MEDIA_TYPE = "image/webp"
_QUALITY = 78


def thumbnail(pixels: RgbImage, side: int) -> bytes:
    """WebP bytes of `pixels`, its longer side at most `side`; never enlarged.

    pixels: uint8 [h, w, 3] sRGB.
    """
    if side < 1:
        raise ValueError(f"a thumbnail needs a side of at least 1 pixel, got {side}")
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return buffer.getvalue()
