"""Pictures for the tests of decoding: small, with known pixels, in every format and mode."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from likeness.types import RgbImage


def gradient(width: int = 48, height: int = 32) -> RgbImage:
    """uint8 [h, w, 3]: red grows to the right, green downwards, blue is constant."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 100)], axis=2).astype(np.uint8)


def quarters(width: int = 48, height: int = 32) -> RgbImage:
    """uint8 [h, w, 3]: red, green / blue, white quarters, so that every turn shows."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 255)
    return pixels


def encoded(image: Image.Image | RgbImage, kind: str, **options: Any) -> bytes:
    """`image` as a file of `kind` (Pillow's name)."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(image: Image.Image | RgbImage, **options: Any) -> bytes:
    """`image` as an HEIC file."""
    import pillow_heif

    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
    return buffer.getvalue()


def off_by(left: RgbImage, right: RgbImage) -> float:
    """Largest difference of any sample, 0..255."""
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).max())


def mean_off_by(left: RgbImage, right: RgbImage) -> float:
    """Mean difference of the samples, 0..255."""
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())
