"""A synthetic instance set: photos cut, seen askew and covered, each to be found among all.

200 of the photos, drawn at random, are changed in three ways; the one right answer to each change
is the photo it was made from. Drawn in memory, the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from likeness.types import RgbImage

EDITS = ("crop", "perspective", "occlusion")
_PICKED = 200
_SEED = 5


@dataclass(frozen=True, slots=True)
class Instance:
    """A changed photo; source: number of the photo it was made from."""

    edit: str
    source: int
    pixels: RgbImage


def instances(files: Sequence[Path], picked: int = _PICKED) -> Iterator[Instance]:
    """All changes of `picked` of the files, edit by edit.

    crop: a window of 45 to 70 % of each side. perspective: each corner moved inwards by up to
    22 % of the side. occlusion: three other photos, of 30 to 50 % of each side, laid over it.
    """
    random = np.random.default_rng(_SEED)
    chosen = np.sort(random.choice(len(files), min(picked, len(files)), replace=False))
    for edit in EDITS:
        for source in chosen.tolist():
            image = _open(files[source])
            if edit == "crop":
                changed = _cropped(image, random)
            elif edit == "perspective":
                changed = _askew(image, random)
            else:
                changed = _covered(image, files, random)
            yield Instance(edit, source, np.asarray(changed))


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    share = random.uniform(0.45, 0.7)
    width, height = int(image.width * share), int(image.height * share)
    left = int(random.integers(0, image.width - width + 1))
    top = int(random.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _askew(image: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = image.size

    def inwards() -> float:
        return float(random.uniform(0, 0.22))

    seen = [
        (inwards() * width, inwards() * height),
        (inwards() * width, height - inwards() * height),
        (width - inwards() * width, height - inwards() * height),
        (width - inwards() * width, inwards() * height),
    ]
    frame = [(0, 0), (0, height), (width, height), (width, 0)]
    rows, wanted = [], []
    for (to_x, to_y), (x, y) in zip(frame, seen, strict=True):
        rows.append([to_x, to_y, 1, 0, 0, 0, -x * to_x, -x * to_y])
        rows.append([0, 0, 0, to_x, to_y, 1, -y * to_x, -y * to_y])
        wanted += [x, y]
    map_ = np.linalg.solve(np.array(rows), np.array(wanted))
    return image.transform(
        (width, height), Image.Transform.PERSPECTIVE, map_.tolist(), Image.Resampling.BICUBIC
    )


def _covered(image: Image.Image, files: Sequence[Path], random: np.random.Generator) -> Image.Image:
    for _ in range(3):
        share = random.uniform(0.3, 0.5)
        width, height = int(image.width * share), int(image.height * share)
        left = int(random.integers(0, image.width - width + 1))
        top = int(random.integers(0, image.height - height + 1))
        other = _open(files[int(random.integers(len(files)))]).resize((width, height))
        image.paste(other, (left, top))
    return image
