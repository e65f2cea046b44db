"""Edited copies, as people and programs make them."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont, ImageOps


def jpeg_quality_20(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=20)
    return Image.open(data).convert("RGB")


def half_size(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def crop_80_percent(image: Image.Image) -> Image.Image:
    """The lower right part, 80 % of the width and of the height."""
    return image.crop((image.width // 5, image.height // 5, image.width, image.height))


def mirrored(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(image)


def greyscale(image: Image.Image) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB")


def rotated_90(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def with_text(image: Image.Image) -> Image.Image:
    """A white caption with a dark outline across the lower third."""
    copy = image.copy()
    font = ImageFont.load_default(size=image.width / 12)
    at = (image.width / 2, image.height * 0.82)
    ImageDraw.Draw(copy).text(
        at, "HOLIDAYS 2019", fill="white", font=font, anchor="mm",
        stroke_width=max(1, image.width // 150), stroke_fill="black",
    )  # fmt: skip
    return copy


def screenshot(image: Image.Image) -> Image.Image:
    """The picture in a window of a program, on a grey desktop."""
    bar, margin = image.height // 12, image.width // 12
    size = (image.width + 2 * margin, image.height + 2 * margin + bar)
    desktop = Image.new("RGB", size, (96, 104, 116))
    draw = ImageDraw.Draw(desktop)
    draw.rectangle((margin, margin, size[0] - margin - 1, margin + bar), fill=(232, 232, 235))
    for i, colour in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        x, y, r = margin + bar * (0.6 + 0.7 * i), margin + bar * 0.5, bar * 0.22
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    desktop.paste(image, (margin, margin + bar))
    return desktop


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg-quality-20": jpeg_quality_20,
    "half-size": half_size,
    "crop": crop_80_percent,
    "mirrored": mirrored,
    "greyscale": greyscale,
    "rotated": rotated_90,
    "with-text": with_text,
    "screenshot": screenshot,
}
