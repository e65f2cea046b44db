"""What people do to pictures, done in memory: copies whose originals are known.

From these a library's own thresholds are learnt, without a label. Each edit takes pixels uint8
[h, w, 3] and a random generator and returns pixels uint8 [h', w', 3]; equal seeds, equal copies.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from likeness.types import RgbImage

_Draw: TypeAlias = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing done to a picture. strength: 1 hardly seen, 2 plain, 3 heavy."""

    name: str
    strength: int
    draw: _Draw

    def __call__(self, pixels: RgbImage, random: np.random.Generator) -> RgbImage:
        image = Image.fromarray(pixels)
        return np.ascontiguousarray(np.asarray(self.draw(image, random).convert("RGB")))


def _compressed(format_name: str, quality: int) -> _Draw:
    def draw(image: Image.Image, _random: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, format_name, quality=quality)
        return Image.open(buffer).convert("RGB")

    return draw


def _scaled(factor: float) -> _Draw:
    def draw(image: Image.Image, _random: np.random.Generator) -> Image.Image:
        size = tuple(max(8, round(side * factor)) for side in image.size)
        return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)

    return draw


def _squashed(factor: float) -> _Draw:
    def draw(image: Image.Image, _random: np.random.Generator) -> Image.Image:
        return image.resize((max(8, round(image.width * factor)), image.height))

    return draw


def _cropped(side: float) -> _Draw:
    """Keeps `side` of the width and of the height, somewhere."""

    def draw(image: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = round(image.width * side), round(image.height * side)
        left = int(random.integers(0, image.width - width + 1))
        top = int(random.integers(0, image.height - height + 1))
        return image.crop((left, top, left + width, top + height))

    return draw


def _transposed(method: Image.Transpose) -> _Draw:
    return lambda image, _random: image.transpose(method)


def _turned(degrees: float) -> _Draw:
    def draw(image: Image.Image, random: np.random.Generator) -> Image.Image:
        sign = 1 if random.random() < 0.5 else -1
        return image.rotate(
            sign * degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255)
        )

    return draw


def _tilted(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """As photographed from the side: each corner moved by up to 8 % of the sides."""
    width, height = image.size
    moved = random.uniform(0, 0.08, (4, 2)) * (width, height)
    corners = (
        (moved[0][0], moved[0][1]),
        (moved[1][0], height - moved[1][1]),
        (width - moved[2][0], height - moved[2][1]),
        (width - moved[3][0], moved[3][1]),
    )
    quad = [float(value) for corner in corners for value in corner]
    return image.transform(image.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)


def _with_text(image: Image.Image, random: np.random.Generator) -> Image.Image:
    image = image.copy()
    size = max(9, image.height // 9)
    top = random.uniform(0.1, 0.8) * image.height
    ImageDraw.Draw(image).text(
        (image.width * 0.06, top),
        "Happy birthday!",
        fill=(255, 255, 255),
        font=ImageFont.load_default(size),
        stroke_width=max(1, size // 12),
        stroke_fill=(0, 0, 0),
    )
    return image


def _captioned(image: Image.Image, _random: np.random.Generator) -> Image.Image:
    """White bands with black words above and below, as memes have them."""
    band = max(14, image.height // 6)
    sheet = Image.new("RGB", (image.width, image.height + 2 * band), (255, 255, 255))
    sheet.paste(image, (0, band))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(band * 0.6)
    draw.text((8, band * 0.15), "WHEN YOU SEE IT", fill=(0, 0, 0), font=font)
    draw.text((8, sheet.height - band * 0.9), "AGAIN AND AGAIN", fill=(0, 0, 0), font=font)
    return sheet


def _stickered(image: Image.Image, random: np.random.Generator) -> Image.Image:
    image = image.copy()
    side = 0.28 * min(image.size)
    left = random.uniform(0, image.width - side)
    top = random.uniform(0, image.height - side)
    draw = ImageDraw.Draw(image)
    draw.ellipse((left, top, left + side, top + side), fill=(255, 210, 40), outline=(90, 60, 0))
    for dx in (0.3, 0.7):
        x, y, r = left + dx * side, top + 0.36 * side, 0.07 * side
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(40, 30, 10))
    return image


def _framed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    colour = tuple(int(c) for c in random.integers(0, 256, 3))
    return ImageOps.expand(image, round(0.07 * min(image.size)), colour)


def _letterboxed(image: Image.Image, _random: np.random.Generator) -> Image.Image:
    side = max(image.size)
    wide = (round(side * 1.25), side) if image.width <= image.height else (side, round(side * 1.25))
    return ImageOps.pad(image, wide, color=(0, 0, 0))


def _in_a_page(image: Image.Image, _random: np.random.Generator) -> Image.Image:
    """A screenshot: the picture at 60 % of its sides on a page with lines of text."""
    page = Image.new("RGB", (image.width, round(image.height * 1.2)), (246, 246, 250))
    small = image.resize((round(image.width * 0.6), round(image.height * 0.6)))
    top = round(page.height * 0.12)
    page.paste(small, (round(image.width * 0.2), top))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(max(9, image.height // 18))
    draw.rectangle((0, 0, page.width, page.height * 0.07), fill=(60, 90, 170))
    for line in range(3):
        y = top + small.height + (0.04 + 0.07 * line) * page.height
        draw.text((8, y), "The quick brown fox jumps over it", fill=(30, 30, 30), font=font)
    return page


def _sepia(image: Image.Image, _random: np.random.Generator) -> Image.Image:
    return ImageOps.colorize(image.convert("L"), (30, 15, 5), (255, 240, 200))


def _hue_shifted(image: Image.Image, _random: np.random.Generator) -> Image.Image:
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(64)
    return Image.fromarray(hsv, mode="HSV").convert("RGB")


def _noisy(image: Image.Image, random: np.random.Generator) -> Image.Image:
    noise = random.normal(0, 22, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _mixed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cropped to 80 % of the sides, mirrored, made darker, saved as a poor JPEG."""
    image = ImageOps.mirror(_cropped(0.8)(image, random))
    return _compressed("JPEG", 30)(ImageEnhance.Brightness(image).enhance(0.8), random)


EDITS: tuple[Edit, ...] = (
    Edit("jpeg-q50", 1, _compressed("JPEG", 50)),
    Edit("jpeg-q20", 2, _compressed("JPEG", 20)),
    Edit("jpeg-q8", 3, _compressed("JPEG", 8)),
    Edit("webp-q30", 1, _compressed("WEBP", 30)),
    Edit("half-size", 1, _scaled(0.5)),
    Edit("quarter-size", 2, _scaled(0.25)),
    Edit("double-size", 1, _scaled(2.0)),
    Edit("squash-75", 2, _squashed(0.75)),
    Edit("crop-90", 1, _cropped(0.9)),
    Edit("crop-80", 2, _cropped(0.8)),
    Edit("crop-60", 3, _cropped(0.6)),
    Edit("mirror", 2, _transposed(Image.Transpose.FLIP_LEFT_RIGHT)),
    Edit("upside-down", 2, _transposed(Image.Transpose.FLIP_TOP_BOTTOM)),
    Edit("rotate-90", 2, _transposed(Image.Transpose.ROTATE_90)),
    Edit("rotate-180", 2, _transposed(Image.Transpose.ROTATE_180)),
    Edit("rotate-5", 1, _turned(5)),
    Edit("rotate-15", 2, _turned(15)),
    Edit("rotate-30", 3, _turned(30)),
    Edit("tilt", 2, _tilted),
    Edit("text", 2, _with_text),
    Edit("caption", 3, _captioned),
    Edit("sticker", 2, _stickered),
    Edit("frame", 2, _framed),
    Edit("letterbox", 2, _letterboxed),
    Edit("screenshot", 3, _in_a_page),
    Edit("greyscale", 1, lambda image, _random: ImageOps.grayscale(image)),
    Edit("sepia", 2, _sepia),
    Edit("hue", 2, _hue_shifted),
    Edit("brighter", 1, lambda image, _random: ImageEnhance.Brightness(image).enhance(1.4)),
    Edit("darker", 2, lambda image, _random: ImageEnhance.Brightness(image).enhance(0.45)),
    Edit("contrast", 2, lambda image, _random: ImageEnhance.Contrast(image).enhance(1.8)),
    Edit("blur", 2, lambda image, _random: image.filter(ImageFilter.GaussianBlur(2.0))),
    Edit("noise", 2, _noisy),
    Edit("mixed", 3, _mixed),
)
"""Ordered as a table for people wants them: compression, size, frame, additions, colour, both."""


def edit_named(name: str) -> Edit:
    """The edit of this name. Raises KeyError with the names there are."""
    for edit in EDITS:
        if edit.name == name:
            return edit
    raise KeyError(f"there is no edit {name!r}; there are {', '.join(e.name for e in EDITS)}")
