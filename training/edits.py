"""Edits that leave a photo recognisably the same: what people and apps do to copies.

Each takes a PIL image and a seeded generator and returns a new image. They follow the
augmentations of SSCD (Pizzi et al. 2022, sec. 4.2) and of the DISC21 challenge: broad rather
than fitted to any measured set.
"""

from __future__ import annotations

import io
import math
import random
import string
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Edit = Callable[[Image.Image, random.Random], Image.Image]

MIN_SIDE = 16


def recompress(image: Image.Image, rng: random.Random) -> Image.Image:
    """JPEG or WebP at quality 5 to 60."""
    buffer = io.BytesIO()
    image.save(buffer, rng.choice(("JPEG", "JPEG", "WEBP")), quality=rng.randint(5, 60))
    return Image.open(buffer).convert("RGB")


def shrink(image: Image.Image, rng: random.Random) -> Image.Image:
    """Between 25 and 80 % of its size."""
    scale = rng.uniform(0.25, 0.8)
    size = (max(MIN_SIDE, int(image.width * scale)), max(MIN_SIDE, int(image.height * scale)))
    return image.resize(size, rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))


def crop(image: Image.Image, rng: random.Random) -> Image.Image:
    """A window of 30 to 95 % of the area, any place, aspect off by up to 4:3."""
    area, stretch = rng.uniform(0.3, 0.95), math.exp(rng.uniform(-0.29, 0.29))
    w = min(image.width, max(MIN_SIDE, int(image.width * math.sqrt(area) * stretch)))
    h = min(image.height, max(MIN_SIDE, int(image.height * math.sqrt(area) / stretch)))
    left, top = rng.randint(0, image.width - w), rng.randint(0, image.height - h)
    return image.crop((left, top, left + w, top + h))


def squash(image: Image.Image, rng: random.Random) -> Image.Image:
    """The aspect changed by up to 5:3."""
    factor = math.exp(rng.uniform(-0.5, 0.5))
    return image.resize((max(MIN_SIDE, int(image.width * factor)), image.height))


def mirror(image: Image.Image, _: random.Random) -> Image.Image:
    return ImageOps.mirror(image)


def quarter_turn(image: Image.Image, rng: random.Random) -> Image.Image:
    """Turned by 90, 180 or 270 degrees, or upside down."""
    turns = Image.Transpose
    return image.transpose(
        rng.choice((turns.ROTATE_90, turns.ROTATE_270, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM))
    )


def tilt(image: Image.Image, rng: random.Random) -> Image.Image:
    """Rotated by up to 40 degrees; corners filled, or cut off."""
    angle = rng.uniform(-40, 40)
    expand = rng.random() < 0.5
    return image.rotate(angle, Image.Resampling.BILINEAR, expand=expand, fillcolor=_colour(rng))


def perspective(image: Image.Image, rng: random.Random) -> Image.Image:
    """Seen from an angle: each corner moved inwards by up to 20 %."""
    w, h = image.size
    quad = []
    for x, y in ((0, 0), (0, h), (w, h), (w, 0)):
        quad += [abs(x - rng.uniform(0, 0.2) * w), abs(y - rng.uniform(0, 0.2) * h)]
    return image.transform(image.size, Image.Transform.QUAD, tuple(quad), Image.Resampling.BILINEAR)


def grey(image: Image.Image, _: random.Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def tint(image: Image.Image, rng: random.Random) -> Image.Image:
    """A duotone such as sepia."""
    dark = tuple(rng.randint(0, 90) for _ in range(3))
    light = tuple(rng.randint(170, 255) for _ in range(3))
    return ImageOps.colorize(image.convert("L"), dark, light)


def colours(image: Image.Image, rng: random.Random) -> Image.Image:
    """Brightness, contrast and saturation by up to a factor of two, hue by up to 30 degrees."""
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(math.exp(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.3:
        hue, saturation, value = image.convert("HSV").split()
        shift = rng.randint(-21, 21)
        hue = hue.point([(i + shift) % 256 for i in range(256)])
        image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return image


def filtered(image: Image.Image, rng: random.Random) -> Image.Image:
    """One of the filters of a photo app."""
    choice = rng.randrange(5)
    if choice == 0:
        return ImageOps.autocontrast(image, cutoff=rng.uniform(0, 5))
    if choice == 1:
        return ImageOps.equalize(image)
    if choice == 2:
        return ImageOps.posterize(image, rng.randint(3, 5))
    if choice == 3:
        return ImageOps.solarize(image, rng.randint(128, 230))
    gamma = math.exp(rng.uniform(-0.7, 0.7))
    return image.point([int(255 * (i / 255) ** gamma) for i in range(256)] * 3)


def blur(image: Image.Image, rng: random.Random) -> Image.Image:
    """Blurred or over-sharpened."""
    scale = max(image.size) / 224
    if rng.random() < 0.25:
        return image.filter(ImageFilter.UnsharpMask(2, 250, 1))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.0) * scale))


def noise(image: Image.Image, rng: random.Random) -> Image.Image:
    """Gaussian noise with a deviation of up to 40 of 255."""
    pixels = np.asarray(image, np.float32)
    grain = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(5, 40), pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def caption(image: Image.Image, rng: random.Random) -> Image.Image:
    """One to three lines of text written over it, sometimes on a bar."""
    image = image.copy()
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(rng.randint(1, 3)):
        size = max(8, int(image.height * rng.uniform(0.05, 0.2)))
        text, font = _text(rng), ImageFont.load_default(size=size)
        x, y = rng.uniform(-0.1, 0.5) * image.width, rng.uniform(0, 0.9) * image.height
        if rng.random() < 0.4:
            draw.rectangle((0, y, image.width, y + size * 1.3), fill=(*_colour(rng), 200))
        stroke = rng.choice((0, 0, max(1, size // 12)))
        draw.text(
            (x, y),
            text,
            (*_colour(rng), 255),
            font,
            stroke_width=stroke,
            stroke_fill=(*_colour(rng), 255),
        )
    return image


def stickers(image: Image.Image, rng: random.Random) -> Image.Image:
    """A few opaque or translucent shapes over it: emoji, logos, censor bars."""
    image = image.copy()
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(rng.randint(1, 4)):
        w, h = (rng.uniform(0.08, 0.35) * side for side in image.size)
        x, y = rng.uniform(0, 0.85) * image.width, rng.uniform(0, 0.85) * image.height
        shape = rng.choice((draw.ellipse, draw.rectangle))
        shape((x, y, x + w, y + h), fill=(*_colour(rng), rng.choice((120, 255, 255))))
    return image


def frame(image: Image.Image, rng: random.Random) -> Image.Image:
    """Borders of 3 to 25 % on each side, of one colour."""
    left, top, right, bottom = (
        int(rng.uniform(0.03, 0.25) * max(image.size)) * rng.choice((0, 1, 1)) for _ in range(4)
    )
    size = (image.width + left + right, image.height + top + bottom)
    canvas = Image.new("RGB", size, _colour(rng))
    canvas.paste(image, (left, top))
    return canvas


def screenshot(image: Image.Image, rng: random.Random) -> Image.Image:
    """Shown within a page or an app: bars, lines of text and buttons around it."""
    tone = rng.choice((255, 248, 240, 32, 18, 0))
    ink = (30, 30, 30) if tone > 128 else (225, 225, 225)
    w = int(image.width * rng.uniform(1.0, 1.35))
    h = int(image.height * rng.uniform(1.15, 1.9))
    canvas = Image.new("RGB", (w, h), (tone, tone, tone))
    draw = ImageDraw.Draw(canvas)
    line = max(6, h // rng.randint(24, 40))
    y = line // 2
    while y < h - line:
        if rng.random() < 0.55:
            x = rng.uniform(0, 0.4) * w
            draw.text((x, y), _text(rng), ink, ImageFont.load_default(size=line))
        elif rng.random() < 0.3:
            draw.rectangle((0, y, w, y + line), fill=_colour(rng))
        y += int(line * 1.5)
    canvas.paste(image, (rng.randint(0, w - image.width), rng.randint(0, h - image.height)))
    return canvas


GEOMETRIC: tuple[Edit, ...] = (
    crop,
    crop,
    mirror,
    quarter_turn,
    quarter_turn,
    tilt,
    perspective,
    squash,
)
PHOTOMETRIC: tuple[Edit, ...] = (
    recompress,
    shrink,
    grey,
    tint,
    colours,
    colours,
    filtered,
    blur,
    noise,
)
OVERLAID: tuple[Edit, ...] = (caption, caption, stickers, frame, screenshot, screenshot)


def edit(image: Image.Image, rng: random.Random) -> Image.Image:
    """One to four random edits: overlays after geometry, pixels' quality last."""
    chosen: list[Edit] = []
    if rng.random() < 0.7:
        chosen.append(rng.choice(GEOMETRIC))
        if rng.random() < 0.3:
            chosen.append(rng.choice(GEOMETRIC))
    if rng.random() < 0.45:
        chosen.append(rng.choice(OVERLAID))
    if not chosen or rng.random() < 0.6:
        chosen.append(rng.choice(PHOTOMETRIC))
    for step in chosen:
        image = step(image, rng)
    return image


def _colour(rng: random.Random) -> tuple[int, int, int]:
    if rng.random() < 0.5:
        tone = rng.choice((0, 255, 240, 20, 128))
        return (tone, tone, tone)
    return (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))


def _text(rng: random.Random) -> str:
    letters = string.ascii_letters + string.digits + "     !?.,#@"
    return "".join(rng.choice(letters) for _ in range(rng.randint(4, 28)))
