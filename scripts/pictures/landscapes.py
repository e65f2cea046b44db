"""Skies, water, hills and towns, drawn."""

from __future__ import annotations

import math

import numpy as np

from scripts.pictures.paint import (
    ASPECT,
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
    polygon,
    ridge,
    stroke,
)

Rng = np.random.Generator


def sunset_over_the_sea(rng: Rng) -> Canvas:
    canvas = gradient((0.20, 0.15, 0.40), (0.85, 0.35, 0.25), (1.0, 0.75, 0.35), (1.0, 0.75, 0.35))
    canvas = clouds(canvas, rng, cover=0.45, colour=(0.55, 0.25, 0.35))
    x = 0.4 + 0.5 * rng.random()
    canvas = blend(canvas, (1.0, 0.85, 0.5), ellipse((x, 0.5), 0.25, 0.25, blur=0.08) * 0.7)
    canvas = blend(canvas, (1.0, 0.97, 0.8), ellipse((x, 0.52), 0.08, 0.08))
    return _sea(canvas, rng, horizon=0.58, deep=(0.10, 0.10, 0.22), glint=(x, (1.0, 0.7, 0.35)))


def _sea(
    canvas: Canvas, rng: Rng, *, horizon: float, deep: Colour, glint: tuple[float, Colour] | None
) -> Canvas:
    top = int(horizon * HEIGHT)
    rows = HEIGHT - top
    sky = canvas[:top][::-1]
    mirror = np.resize(sky, (rows, WIDTH, 3)) if rows > top else sky[:rows]
    water = 0.45 * mirror + 0.55 * np.array(deep)
    depth = np.linspace(0.03, 1, rows)[:, None]
    xs = np.arange(WIDTH)[None, :] / HEIGHT
    phase = rng.random(3) * 6.28
    waves = sum(
        np.sin(f / (depth + 0.08) + g * xs + p)
        for f, g, p in zip((7, 13, 22), (9, -17, 31), phase, strict=True)
    )
    water = water * (1 + 0.10 * waves)[..., None]
    if glint is not None:
        x, colour = glint
        path = np.exp(-(((xs - x) / (0.05 + 0.18 * depth)) ** 2)) * np.clip(waves, 0, 2) / 2
        water = water + (np.array(colour) - water) * (0.9 * path)[..., None]
    canvas = canvas.copy()
    canvas[top:] = np.clip(water, 0, 1)
    return canvas


def sailing_boat_on_the_sea(rng: Rng) -> Canvas:
    canvas = clouds(
        gradient((0.25, 0.5, 0.85), (0.75, 0.88, 0.98)), rng, cover=0.5, colour=(1, 1, 1)
    )
    canvas = _sea(canvas, rng, horizon=0.6, deep=(0.02, 0.22, 0.42), glint=None)
    x = 0.5 + 0.3 * rng.random()
    canvas = blend(canvas, (0.35, 0.22, 0.12), stroke([(x, 0.12), (x, 0.68)], 0.012))
    sail = polygon([(x + 0.015, 0.13), (x + 0.27, 0.6), (x + 0.015, 0.62)])
    jib = polygon([(x - 0.015, 0.16), (x - 0.2, 0.62), (x - 0.015, 0.62)])
    canvas = blend(canvas, (0.97, 0.96, 0.92), sail)
    canvas = blend(canvas, (0.90, 0.89, 0.86), jib)
    hull = [(x - 0.26, 0.66), (x + 0.32, 0.66), (x + 0.22, 0.76), (x - 0.18, 0.76)]
    return blend(canvas, (0.55, 0.12, 0.1), polygon(hull))


def snowy_mountains(rng: Rng) -> Canvas:
    canvas = gradient((0.30, 0.52, 0.85), (0.80, 0.90, 0.98))
    canvas = clouds(canvas, rng, cover=0.35, colour=(1, 1, 1))
    for level, height, rock in ((0.42, 0.26, (0.45, 0.50, 0.62)), (0.62, 0.20, (0.28, 0.30, 0.36))):
        line = ridge(rng, level, height)
        mass = polygon(line)
        texture = 0.75 + 0.5 * noise(rng, cells=10)
        canvas = blend(canvas, np.clip(np.array(rock) * texture[..., None], 0, 1), mass)
        ys = np.arange(HEIGHT)[:, None] / HEIGHT
        snow = np.clip((level + 0.02 + 0.25 * (noise(rng, cells=14) - 0.4) - ys) * 14, 0, 1)
        canvas = blend(canvas, (0.96, 0.97, 1.0), mass * snow)
    trees = [(0.0, 1.0)]
    for i in range(60):
        x = ASPECT * i / 59
        top = 0.86 + 0.05 * rng.random()
        trees += [(x - 0.012, 0.93), (x, top), (x + 0.012, 0.93)]
    return blend(canvas, (0.05, 0.16, 0.10), polygon([*trees, (ASPECT, 1.0)]))


def green_hills_and_blue_sky(rng: Rng) -> Canvas:
    canvas = clouds(gradient((0.2, 0.5, 0.9), (0.7, 0.87, 1.0)), rng, cover=0.55, colour=(1, 1, 1))
    for level, green in (
        (0.58, (0.35, 0.55, 0.30)),
        (0.70, (0.30, 0.58, 0.20)),
        (0.82, (0.22, 0.5, 0.12)),
    ):
        xs = np.linspace(0, ASPECT, 80)
        ys = level + 0.06 * np.sin(xs * (3 + 3 * rng.random()) + 6 * rng.random())
        outline = [(0.0, 1.05), *zip(xs.tolist(), ys.tolist(), strict=True), (ASPECT, 1.05)]
        grass = np.array(green) * (0.7 + 0.5 * noise(rng, cells=20))[..., None]
        canvas = blend(canvas, np.clip(grass, 0, 1), polygon(outline))
    return canvas


def night_sky_with_moon_and_stars(rng: Rng) -> Canvas:
    canvas = gradient((0.01, 0.01, 0.06), (0.05, 0.07, 0.22))
    for _ in range(260):
        x, y, r = rng.random() * ASPECT, rng.random() * 0.85, 0.0012 + 0.0022 * rng.random()
        column, row = int(x * HEIGHT) % WIDTH, int(y * HEIGHT)
        canvas[row : row + int(r * HEIGHT) + 1, column : column + int(r * HEIGHT) + 1] = (
            0.6 + 0.4 * rng.random()
        )
    moon = Ball((0.9, 0.28), 0.13, 0.13, shine=0.0)
    craters = np.clip(
        np.array((0.95, 0.93, 0.85)) * (0.7 + 0.4 * noise(rng, cells=8))[..., None], 0, 1
    )
    canvas = blend(canvas, (0.5, 0.5, 0.6), 0.4 * ellipse((0.9, 0.28), 0.2, 0.2, blur=0.06))
    canvas = blend(canvas, craters, moon.mask())
    return blend(canvas, (0.01, 0.01, 0.02), polygon(ridge(rng, 0.86, 0.06)))


def rainbow_over_a_field(rng: Rng) -> Canvas:
    canvas = gradient((0.35, 0.45, 0.58), (0.72, 0.78, 0.82))
    canvas = clouds(canvas, rng, cover=0.5, colour=(0.85, 0.87, 0.9))
    bands = (
        (0.85, 0.1, 0.1),
        (0.95, 0.5, 0.1),
        (0.95, 0.9, 0.2),
        (0.2, 0.7, 0.25),
        (0.15, 0.4, 0.85),
        (0.45, 0.2, 0.7),
    )
    for i, colour in enumerate(bands):
        r = 0.68 - 0.025 * i
        ring = ellipse((0.66, 0.85), r, r) - ellipse((0.66, 0.85), r - 0.025, r - 0.025)
        canvas = blend(canvas, colour, 0.75 * np.clip(ring, 0, 1))
    field = [(0.0, 0.78), (ASPECT, 0.74), (ASPECT, 1.05), (0.0, 1.05)]
    grass = np.array((0.30, 0.50, 0.16)) * (0.7 + 0.5 * noise(rng, cells=24))[..., None]
    return blend(canvas, np.clip(grass, 0, 1), polygon(field))


def city_at_night(rng: Rng) -> Canvas:
    canvas = gradient((0.02, 0.02, 0.08), (0.15, 0.12, 0.28), (0.35, 0.2, 0.3))
    for layer in range(2):
        x = -0.02
        while x < ASPECT:
            w, top = 0.07 + 0.09 * rng.random(), 0.22 + 0.2 * layer + 0.3 * rng.random()
            shade = 0.05 + 0.04 * (1 - layer)
            left, right = max(0, int(x * HEIGHT)), min(WIDTH, int((x + w) * HEIGHT))
            canvas[int(top * HEIGHT) :, left:right] = (shade, shade, shade * 1.6)
            for row in range(int(top * HEIGHT) + 6, HEIGHT - 10, 11):
                for column in range(left + 4, right - 6, 9):
                    if rng.random() < 0.45:
                        glow = 0.6 + 0.4 * rng.random()
                        canvas[row : row + 5, column : column + 4] = (
                            glow,
                            glow * 0.85,
                            glow * 0.45,
                        )
            x += w + 0.005
    return canvas


def hot_air_balloon(rng: Rng) -> Canvas:
    canvas = clouds(
        gradient((0.28, 0.55, 0.9), (0.85, 0.93, 1.0)), rng, cover=0.45, colour=(1, 1, 1)
    )
    ball = Ball((0.66, 0.38), 0.29, 0.31, shine=0.15)
    nx, _, _ = ball.normals()
    stripe = np.floor((np.arcsin(np.clip(nx, -1, 1)) / math.pi + 0.5) * 9).astype(int) % 3
    palette = np.array(((0.85, 0.12, 0.12), (0.97, 0.78, 0.15), (0.15, 0.3, 0.7)))
    for x in (-0.07, 0.07):
        canvas = blend(
            canvas,
            (0.2, 0.15, 0.1),
            stroke([(0.66 + 2.2 * x, 0.62), (0.66 + x * 0.7, 0.82)], 0.005),
        )
    skirt = [(0.48, 0.60), (0.84, 0.60), (0.72, 0.74), (0.60, 0.74)]
    canvas = blend(canvas, (0.80, 0.5, 0.12), polygon(skirt))
    lit = np.clip(palette[stripe] * (0.75 + 0.25 * ball.normals()[2])[..., None], 0, 1)
    canvas = blend(canvas, lit, ball.mask())
    basket = [(0.605, 0.82), (0.715, 0.82), (0.705, 0.9), (0.615, 0.9)]
    return blend(canvas, (0.45, 0.28, 0.12), polygon(basket))
