"""Pictures with next to nothing in them: blank, black, blurred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from likeness.types import RgbImage
from search.duplicates.pictures import PictureLoader

_PLAIN_LEVELS = 4.0
_BLACK_LEVEL = 18.0
_WHITE_LEVEL = 245.0
_SHARP = 0.012
_SIDE = 256


class Emptiness(StrEnum):
    BLANK = "blank"
    BLACK = "black"
    BLURRED = "blurred"


@dataclass(frozen=True, slots=True)
class NearEmpty:
    """measure: levels of contrast for blank and black ones, sharpness for blurred ones."""

    image_id: int
    kind: Emptiness
    measure: float


def emptiness_of(pixels: RgbImage) -> tuple[Emptiness, float] | None:
    """What is missing in a picture, and how much there is of it; None for an ordinary one.

    pixels: uint8 [h, w, 3]. Blank or black: all but a hundredth of it within a few levels.
    Blurred: the Laplacian's energy (Pech-Pacheco et al., 2000) beside that of the picture's own
    contrast, so that quiet pictures do not count as blurred, in the sharpest twentieth of it: one
    sharp subject before a soft background is no blurred picture.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)
    longer = max(grey.shape)
    if longer > _SIDE:
        size = [max(1, round(side * _SIDE / longer)) for side in grey.shape[::-1]]
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    low, high = (float(level) for level in np.quantile(grey, [0.005, 0.995]))
    if high <= _BLACK_LEVEL:
        return Emptiness.BLACK, high - low
    if high - low <= _PLAIN_LEVELS or low >= _WHITE_LEVEL:
        return Emptiness.BLANK, high - low
    if min(grey.shape) < 32:
        return None  # too small to tell
    laplacian = np.asarray(cv2.Laplacian(grey, cv2.CV_32F)) ** 2
    local = np.asarray(cv2.boxFilter(laplacian, -1, (17, 17)))
    sharpness = float(np.quantile(local, 0.95)) / float(grey.var() + 1)
    return (Emptiness.BLURRED, sharpness) if sharpness < _SHARP else None


def near_empty(loader: PictureLoader, images: Sequence[tuple[int, str]]) -> Iterator[NearEmpty]:
    """Those of the images, (id, uri) each, that are blank, black or blurred; unreadable ones are
    passed over."""
    pictures = loader.small([uri for _, uri in images])
    for (image_id, _), pixels in zip(images, pictures, strict=True):
        found = None if pixels is None else emptiness_of(pixels)
        if found is not None:
            yield NearEmpty(image_id, *found)
