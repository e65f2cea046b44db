"""Fruit, signs and other things, drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scripts.pictures.landscapes import green_hills_and_blue_sky
from scripts.pictures.paint import (
    HEIGHT,
    WIDTH,
    Ball,
    Canvas,
    Colour,
    blend,
    clouds,
    ellipse,
    gradient,
    noise,
    plain,
    polygon,
    stroke,
    table,
)

Rng = np.random.Generator
WOOD: Colour = (0.62, 0.42, 0.25)


def _fruit(
    rng: Rng, colour: Colour, *, rx: float = 0.2, ry: float = 0.2, pores: float = 0.0
) -> tuple[Canvas, Ball]:
    canvas = table(rng, WOOD, (0.80, 0.78, 0.72))
    ball = Ball((0.55 + 0.2 * rng.random(), 0.56), rx, ry)
    skin = np.array(colour) * (1 - 0.12 + 0.24 * noise(rng, cells=6))[..., None]
    if pores:
        skin = skin * (1 - pores * (noise(rng, cells=60, octaves=2) < 0.35))[..., None]
    return ball.paint(canvas, np.clip(skin, 0, 1)), ball


def orange(rng: Rng) -> Canvas:
    canvas, ball = _fruit(rng, (0.98, 0.52, 0.05), rx=0.26, ry=0.25, pores=0.10)
    x, y = ball.centre
    return blend(canvas, (0.25, 0.35, 0.1), ellipse((x - 0.02, y - 0.17), 0.018, 0.012))


def lemons(rng: Rng) -> Canvas:
    canvas = table(rng, WOOD, (0.75, 0.80, 0.82))
    for x, y in ((0.45, 0.55), (0.88, 0.62)):
        skin = (
            np.array((0.98, 0.86, 0.12)) * (0.9 + 0.15 * noise(rng, cells=30, octaves=3))[..., None]
        )
        canvas = Ball((x, y), 0.22, 0.16).paint(canvas, np.clip(skin, 0, 1))
        for side in (-1, 1):
            canvas = Ball((x + side * 0.22, y), 0.035, 0.03, shine=0.1).paint(
                canvas, (0.9, 0.78, 0.1)
            )
    return canvas


def _apple(rng: Rng, colour: Colour) -> Canvas:
    canvas, ball = _fruit(rng, colour, rx=0.25, ry=0.235)
    x, y = ball.centre
    canvas = blend(
        canvas, (0.12, 0.06, 0.02), 0.8 * ellipse((x, y - 0.195), 0.06, 0.02, blur=0.008)
    )
    stem = [(x, y - 0.19), (x + 0.01, y - 0.26), (x + 0.035, y - 0.31)]
    canvas = blend(canvas, (0.30, 0.18, 0.08), stroke(stem, 0.016))
    leaf = [(x + 0.02, y - 0.26), (x + 0.09, y - 0.33), (x + 0.2, y - 0.32), (x + 0.11, y - 0.25)]
    return blend(canvas, (0.2, 0.48, 0.12), polygon(leaf))


def red_apple(rng: Rng) -> Canvas:
    return _apple(rng, (0.78, 0.08, 0.08))


def green_apple(rng: Rng) -> Canvas:
    return _apple(rng, (0.48, 0.74, 0.15))


def banana(rng: Rng) -> Canvas:
    canvas = table(rng, (0.45, 0.30, 0.2), (0.82, 0.80, 0.78))
    for row in range(2):
        angles = np.linspace(0.15 * math.pi, 0.86 * math.pi, 60)
        cx, cy, r = 0.66, 0.24 + 0.07 * row, 0.40 + 0.02 * row
        spine = [(cx + r * 1.1 * math.cos(a), cy + r * 0.95 * math.sin(a)) for a in angles]
        canvas = blend(
            canvas,
            (0.1, 0.07, 0.04),
            0.5 * stroke([(x, y + 0.06) for x, y in spine], 0.1, blur=0.02),
        )
        for width, colour in (
            (0.125, (0.80, 0.62, 0.08)),
            (0.09, (0.95, 0.80, 0.18)),
            (0.04, (1.0, 0.92, 0.45)),
        ):
            canvas = blend(canvas, colour, stroke(spine[3:-3], width, blur=0.006))
        canvas = blend(canvas, (0.28, 0.20, 0.08), stroke(spine[:4], 0.045))
        canvas = blend(canvas, (0.45, 0.42, 0.10), stroke(spine[-5:], 0.045))
    return canvas


def bowl_of_strawberries(rng: Rng) -> Canvas:
    canvas = table(rng, WOOD, (0.86, 0.84, 0.80))
    canvas = Ball((0.66, 0.66), 0.46, 0.24, shine=0.3).paint(canvas, (0.85, 0.88, 0.92))
    for _ in range(26):
        x, y = 0.66 + (rng.random() - 0.5) * 0.72, 0.55 + (rng.random() - 0.5) * 0.2
        seeds = noise(rng, cells=70, octaves=1) > 0.8
        skin = np.where(seeds[..., None], (0.95, 0.75, 0.3), (0.82, 0.07, 0.10))
        canvas = Ball((x, y), 0.075, 0.085, shine=0.4).paint(canvas, skin)
        for angle in range(0, 360, 60):
            dx, dy = 0.045 * math.cos(math.radians(angle)), 0.02 * math.sin(math.radians(angle))
            canvas = blend(
                canvas, (0.2, 0.5, 0.12), stroke([(x, y - 0.075), (x + dx, y - 0.075 + dy)], 0.014)
            )
    return canvas


def tennis_ball(rng: Rng) -> Canvas:
    lawn = np.array((0.25, 0.52, 0.18)) * (0.65 + 0.6 * noise(rng, cells=40))[..., None]
    ball = Ball((0.66, 0.5), 0.27, 0.27, shine=0.05)
    fuzz = np.array((0.82, 0.92, 0.20)) * (0.85 + 0.25 * noise(rng, cells=60, octaves=3))[..., None]
    canvas = ball.paint(np.clip(lawn, 0, 1), np.clip(fuzz, 0, 1))
    for cx, turn in ((0.40, 1), (0.95, -1)):
        arc = [
            (cx - turn * 0.09 + turn * 0.2 * math.cos(t), 0.5 + 0.26 * math.sin(t))
            for t in np.linspace(-1.15, 1.15, 30)
        ]
        canvas = blend(canvas, (0.95, 0.96, 0.92), stroke(arc, 0.022) * ball.mask())
    return canvas


def wall_clock(rng: Rng) -> Canvas:
    canvas = plain((0.72, 0.66, 0.56)) * (0.9 + 0.1 * noise(rng, cells=20))[..., None]
    canvas = blend(canvas, (0.15, 0.12, 0.1), 0.6 * ellipse((0.69, 0.53), 0.42, 0.42, blur=0.02))
    canvas = blend(canvas, (0.10, 0.10, 0.11), ellipse((0.66, 0.5), 0.42, 0.42))
    canvas = blend(canvas, (0.96, 0.95, 0.92), ellipse((0.66, 0.5), 0.38, 0.38))
    picture = Image.fromarray((canvas * 255).astype(np.uint8))
    font = ImageFont.load_default(size=38)
    for hour in range(1, 13):
        angle = math.radians(30 * hour - 90)
        at = ((0.66 + 0.30 * math.cos(angle)) * HEIGHT, (0.5 + 0.30 * math.sin(angle)) * HEIGHT)
        ImageDraw.Draw(picture).text(at, str(hour), fill=(20, 20, 20), font=font, anchor="mm")
    canvas = np.asarray(picture, dtype=np.float64) / 255
    for length, width, turn in ((0.2, 0.024, rng.random()), (0.3, 0.014, rng.random())):
        tip = (0.66 + length * math.cos(turn * 6.28), 0.5 + length * math.sin(turn * 6.28))
        canvas = blend(canvas, (0.05, 0.05, 0.05), stroke([(0.66, 0.5), tip], width))
    return blend(canvas, (0.6, 0.1, 0.1), ellipse((0.66, 0.5), 0.02, 0.02))


def traffic_light(rng: Rng) -> Canvas:
    canvas = clouds(
        gradient((0.5, 0.62, 0.75), (0.85, 0.88, 0.9)), rng, cover=0.6, colour=(0.95, 0.95, 0.95)
    )
    canvas = blend(canvas, (0.25, 0.25, 0.26), stroke([(0.66, 0.85), (0.66, 1.1)], 0.06))
    box = [(0.48, 0.06), (0.84, 0.06), (0.84, 0.88), (0.48, 0.88)]
    canvas = blend(canvas, (0.09, 0.10, 0.09), polygon(box))
    on = int(rng.integers(3))
    for i, colour in enumerate(((0.95, 0.1, 0.08), (0.98, 0.75, 0.1), (0.1, 0.85, 0.35))):
        lamp = (0.66, 0.2 + 0.27 * i)
        canvas = blend(canvas, (0.02, 0.02, 0.02), ellipse(lamp, 0.118, 0.118))
        shade = colour if i == on else (colour[0] * 0.22, colour[1] * 0.22, colour[2] * 0.22)
        canvas = blend(canvas, shade, ellipse(lamp, 0.105, 0.105))
        if i == on:
            canvas = blend(canvas, (1, 1, 0.9), 0.5 * ellipse(lamp, 0.06, 0.06, blur=0.02))
    return canvas


def stop_sign(rng: Rng) -> Canvas:
    canvas = green_hills_and_blue_sky(rng)
    canvas = blend(canvas, (0.55, 0.56, 0.58), stroke([(0.66, 0.6), (0.66, 1.1)], 0.035))
    for r, colour in ((0.33, (0.97, 0.97, 0.97)), (0.305, (0.75, 0.05, 0.08))):
        corners = [
            (0.66 + r * math.cos(math.radians(a)), 0.4 + r * math.sin(math.radians(a)))
            for a in np.arange(22.5, 382.5, 45)
        ]
        canvas = blend(canvas, colour, polygon(corners))
    picture = Image.fromarray((canvas * 255).astype(np.uint8))
    font = ImageFont.load_default(size=104)
    ImageDraw.Draw(picture).text(
        (0.66 * HEIGHT, 0.4 * HEIGHT), "STOP", fill="white", font=font, anchor="mm", stroke_width=3
    )
    return np.asarray(picture, dtype=np.float64) / 255


def poster(
    title: str, lines: tuple[str, ...], *, paper: Colour, ink: Colour
) -> Callable[[Rng], Canvas]:
    def draw(rng: Rng) -> Canvas:
        canvas = plain(paper) * (0.96 + 0.04 * noise(rng, cells=6))[..., None]
        picture = Image.fromarray((canvas * 255).astype(np.uint8))
        pen, fill = ImageDraw.Draw(picture), tuple(round(255 * c) for c in ink)
        pen.rectangle((18, 18, WIDTH - 19, HEIGHT - 19), outline=fill, width=6)
        pen.text(
            (WIDTH / 2, 110), title, fill=fill, font=ImageFont.load_default(size=72), anchor="mm"
        )
        for i, line in enumerate(lines):
            pen.text(
                (WIDTH / 2, 220 + 58 * i),
                line,
                fill=fill,
                font=ImageFont.load_default(size=36),
                anchor="mm",
            )
        return np.asarray(picture, dtype=np.float64) / 255

    return draw
