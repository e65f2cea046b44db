"""The edits by which finding copies is measured. Drawn apart from those used for training."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont, ImageOps

Edit = Callable[[Image.Image], Image.Image]


def jpeg_q20(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=20)
    return Image.open(buffer).convert("RGB")


def half_size(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def crop_80(image: Image.Image) -> Image.Image:
    """The centre, 80 % of each side."""
    w, h = image.size
    return image.crop((int(w * 0.1), int(h * 0.1), int(w * 0.9), int(h * 0.9)))


def rotated_90(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def greyscale(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def text_overlay(image: Image.Image) -> Image.Image:
    """White words with a black outline across the middle, an eighth of the height."""
    image = image.copy()
    w, h = image.size
    ImageDraw.Draw(image).text(
        (w * 0.05, h * 0.4),
        "Happy Birthday!",
        fill=(255, 255, 255),
        font=ImageFont.load_default(size=max(10, h // 8)),
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )
    return image


def screenshot_frame(image: Image.Image) -> Image.Image:
    """As in a phone's screenshot: a status bar above, white space and a line of text below."""
    w, h = image.size
    wide, high, top = int(w * 1.1), int(h * 1.7), int(h * 0.34)
    screen = Image.new("RGB", (wide, high), (245, 245, 245))
    draw = ImageDraw.Draw(screen)
    font = ImageFont.load_default(size=max(8, high // 30))
    draw.rectangle((0, 0, wide, high * 0.08), fill=(30, 30, 30))
    draw.text((wide * 0.05, high * 0.02), "12:34", fill=(255, 255, 255), font=font)
    screen.paste(image, ((wide - w) // 2, top))
    draw.text(
        (wide * 0.05, top + h + high * 0.02), "someone  liked this  3 h ago", (40, 40, 40), font
    )
    return screen


EDITS: dict[str, Edit] = {
    "JPEG q20": jpeg_q20,
    "half size": half_size,
    "80 % crop": crop_80,
    "mirror": ImageOps.mirror,
    "greyscale": greyscale,
    "90° rotation": rotated_90,
    "text overlay": text_overlay,
    "screenshot frame": screenshot_frame,
}
