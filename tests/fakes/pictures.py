"""Small drawn images: each differs from the others in colour and shape."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from likeness.types import RgbImage

_EXTENSIONS = ("jpg", "png", "webp")


def draw_picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """An RGB image of `size` (w, h): seeded hue, gradient and shape; equal seeds, equal pixels."""
    width, height = size
    hue = (seed * 0.381966) % 1.0
    top, bottom = (np.array(colorsys.hsv_to_rgb(hue, 0.8, value)) * 255.0 for value in (0.95, 0.35))
    ramp = np.linspace(0.0, 1.0, height)[:, None, None]
    pixels = np.broadcast_to(top + (bottom - top) * ramp, (height, width, 3)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    box = (width * 0.2, height * 0.2, width * 0.7, height * 0.8)
    ink = tuple(int(255 * c) for c in colorsys.hsv_to_rgb((hue + 0.5) % 1.0, 0.9, 0.9))
    shape = (draw.ellipse, draw.rectangle)[seed % 2]
    shape(box, fill=ink, outline=(255, 255, 255), width=1 + seed % 3)
    draw.line((0, height * (seed % 5) / 5, width, height / 2), fill=(20, 20, 20), width=2)
    return image


def draw_pixels(seed: int, size: tuple[int, int] = (64, 48)) -> RgbImage:
    """The same as uint8 [h, w, 3]."""
    return np.asarray(draw_picture(seed, size))


def write_pictures(folder: Path, count: int = 12) -> list[Path]:
    """Write `count` images to `folder`, every sixth into its subfolder `more`; paths in order."""
    paths = []
    for seed in range(count):
        parent = folder / "more" if seed % 6 == 5 else folder
        parent.mkdir(parents=True, exist_ok=True)
        path = parent / f"picture{seed:03}.{_EXTENSIONS[seed % 3]}"
        draw_picture(seed).save(path, quality=90)
        paths.append(path)
    return paths
