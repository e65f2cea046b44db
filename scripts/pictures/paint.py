"""Paint for the demo's own pictures: skies, noise, shaded balls and soft shadows, in numpy.

Colours are RGB triples in [0, 1]; a canvas is float64 [h, w, 3] in [0, 1]; masks are [h, w].
Positions and radii are fractions of the canvas' height, so that size does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[float, float, float]
Canvas = npt.NDArray[np.float64]
Mask = npt.NDArray[np.float64]
Point = tuple[float, float]

HEIGHT, WIDTH = 480, 640
ASPECT = WIDTH / HEIGHT


def plain(colour: Colour) -> Canvas:
    return np.tile(np.array(colour, dtype=np.float64), (HEIGHT, WIDTH, 1))


def gradient(*stops: Colour) -> Canvas:
    """Vertical, evenly spaced stops from top to bottom."""
    rows = np.linspace(0, len(stops) - 1, HEIGHT)
    table = np.array(stops)
    columns = [np.interp(rows, np.arange(len(stops)), table[:, c]) for c in range(3)]
    return np.repeat(np.stack(columns, axis=-1)[:, None, :], WIDTH, axis=1)


def noise(rng: np.random.Generator, *, cells: int = 4, octaves: int = 6) -> Mask:
    """Fractal value noise in [0, 1]: random grids, each twice as fine and half as strong."""
    total: Mask = np.zeros((HEIGHT, WIDTH))
    for octave in range(octaves):
        grid = rng.random((cells << octave, (cells << octave) + 1)).astype(np.float32)
        layer = Image.fromarray(grid).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        total += np.asarray(layer, dtype=np.float64) / (1 << octave)
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def blend(canvas: Canvas, colour: Colour | Canvas, mask: Mask) -> Canvas:
    return canvas + (np.asarray(colour) - canvas) * mask[..., None]


def _blurred(image: Image.Image, blur: float) -> Mask:
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur * HEIGHT))
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX), dtype=np.float64) / 255


def polygon(points: Sequence[Point], *, blur: float = 0.0) -> Mask:
    """Anti-aliased filled polygon; points are (x, y)."""
    image = Image.new("L", (2 * WIDTH, 2 * HEIGHT))
    ImageDraw.Draw(image).polygon([(x * 2 * HEIGHT, y * 2 * HEIGHT) for x, y in points], fill=255)
    return _blurred(image, blur)


def ellipse(centre: Point, rx: float, ry: float, *, blur: float = 0.0) -> Mask:
    image = Image.new("L", (2 * WIDTH, 2 * HEIGHT))
    (x, y), s = centre, 2 * HEIGHT
    box = ((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s)
    ImageDraw.Draw(image).ellipse(box, fill=255)
    return _blurred(image, blur)


def stroke(points: Sequence[Point], width: float, *, blur: float = 0.0) -> Mask:
    """Anti-aliased line through points, with round ends."""
    image = Image.new("L", (2 * WIDTH, 2 * HEIGHT))
    draw, s = ImageDraw.Draw(image), 2 * HEIGHT
    draw.line([(x * s, y * s) for x, y in points], fill=255, width=int(width * s), joint="curve")
    for x, y in (points[0], points[-1]):
        r = width / 2
        draw.ellipse(((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s), fill=255)
    return _blurred(image, blur)


@dataclass(frozen=True)
class Ball:
    """A lit ellipsoid. centre (x, y), rx, ry: fractions of the height. shine: highlight, 0 to 1."""

    centre: Point
    rx: float
    ry: float
    shine: float = 0.5

    def mask(self) -> Mask:
        return ellipse(self.centre, self.rx, self.ry)

    def normals(self) -> tuple[Mask, Mask, Mask]:
        """Unit surface normals x, y, z of the front half; z is 0 outside."""
        ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH] / HEIGHT
        nx, ny = (xs - self.centre[0]) / self.rx, (ys - self.centre[1]) / self.ry
        return nx, ny, np.sqrt(np.clip(1 - nx**2 - ny**2, 0, None))

    def paint(self, canvas: Canvas, colour: Colour | Canvas) -> Canvas:
        """Lambert shading from the upper left with a Phong highlight, and a soft shadow below."""
        x, y = self.centre
        shadow = ellipse((x + 0.04, y + self.ry * 0.93), self.rx, self.ry * 0.22, blur=0.02)
        canvas = blend(canvas, (0.05, 0.04, 0.04), 0.55 * shadow)
        nx, ny, nz = self.normals()
        light = np.clip(-0.45 * nx - 0.55 * ny + 0.70 * nz, 0, None)
        lit = np.asarray(colour) * (0.30 + 0.80 * light)[..., None]
        lit = lit + (self.shine * np.clip(light, 0, 1.0) ** 24)[..., None]
        return blend(canvas, np.clip(lit, 0, 1), self.mask())


def table(rng: np.random.Generator, wood: Colour, wall: Colour) -> Canvas:
    """A wall behind a wooden table whose grain runs from left to right."""
    canvas = plain(wall) * (0.9 + 0.1 * noise(rng, cells=3, octaves=5))[..., None]
    top = int(HEIGHT * 0.52)
    grain = rng.random((24, 3)).astype(np.float32)
    lines = Image.fromarray(grain).resize((WIDTH, HEIGHT - top), Image.Resampling.BICUBIC)
    shade = 0.72 + 0.35 * np.asarray(lines, dtype=np.float64)
    shade *= 0.92 + 0.08 * noise(rng, cells=8)[top:]
    canvas[top:] = np.array(wood) * shade[..., None]
    return np.clip(canvas, 0, 1)


def clouds(canvas: Canvas, rng: np.random.Generator, *, cover: float, colour: Colour) -> Canvas:
    density = np.clip((noise(rng, cells=3) - (1 - cover)) / 0.35, 0, 1)
    return blend(canvas, colour, density * np.linspace(1, 0.3, HEIGHT)[:, None])


def ridge(rng: np.random.Generator, level: float, height: float) -> list[Point]:
    """Outline of a mountain range, closed below; level: its mean, from the top."""
    xs = np.linspace(0, ASPECT, 129)
    line, amplitude = np.zeros(129), 1.0
    for step in (64, 32, 16, 8, 4, 2, 1):
        knots = rng.normal(size=128 // step + 1) * amplitude
        line += np.interp(np.arange(129), np.arange(0, 129, step), knots)
        amplitude /= 2
    ys = level + height * line / np.abs(line).max()
    return [(0.0, 1.05), *zip(xs.tolist(), ys.tolist(), strict=True), (ASPECT, 1.05)]


def finish(canvas: Canvas, rng: np.random.Generator, *, grain: float = 0.012) -> Image.Image:
    """Film grain, slight softening, uint8."""
    noisy = np.clip(canvas + rng.normal(scale=grain, size=(HEIGHT, WIDTH, 1)), 0, 1)
    return Image.fromarray((noisy * 255).round().astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(0.5)
    )
