"""Drawn pictures with structure all over, as photographs have it, and a loader that knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from likeness.types import RgbImage


def draw_scene(seed: int, size: tuple[int, int] = (240, 180)) -> RgbImage:
    """uint8 [h, w, 3]: ninety shapes of many sizes on a gradient; equal seeds, equal pixels."""
    random = np.random.default_rng(seed)
    width, height = size
    ramp = np.linspace(random.integers(0, 120), random.integers(130, 255), width)
    base = np.repeat(np.broadcast_to(ramp, (height, width))[..., None], 3, axis=2)
    image = Image.fromarray((base * random.uniform(0.6, 1.0, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(90):
        x, y = random.uniform(0, width), random.uniform(0, height)
        w, h = random.uniform(4, width / 5, 2)
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        kind = random.integers(3)
        if kind == 0:
            draw.ellipse((x, y, x + w, y + h), fill=colour)
        elif kind == 1:
            draw.rectangle((x, y, x + w, y + h), fill=colour)
        else:
            draw.line((x, y, x + 2 * w - 20, y + h), fill=colour, width=int(random.integers(1, 6)))
    return np.asarray(image)


class FakeLoader:
    """Pictures by URI; what is not there cannot be read."""

    def __init__(self, pictures: Mapping[str, RgbImage]) -> None:
        self.pictures = dict(pictures)
        self.loaded = 0

    def small(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        for uri in uris:
            self.loaded += 1
            yield self.pictures.get(uri)

    def fine(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        return self.small(uris)
