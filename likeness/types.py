"""Values that pass between layers: arrays by their shape letters, and small frozen records.

Shape letters are the same everywhere: n images, q queries, d dimensions, k neighbours,
p patches, h, w.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RgbImage: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [h, w, 3], sRGB, upright."""

PreparedBatch: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [n, s, s, 3]: resized and cropped for one encoder, not yet normalised."""

Embeddings: TypeAlias = npt.NDArray[np.float32]
"""float32 [n, d], L2 norm 1 per row."""

StoredVectors: TypeAlias = npt.NDArray[np.float16]
"""float16 [n, d], L2 norm 1 per row up to rounding."""

ImageIds: TypeAlias = npt.NDArray[np.int64]
"""int64 [n]."""


class ImageState(StrEnum):
    """Where an image stands; `FAILED` carries a reason, `GONE` is hidden from every answer."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    GONE = "gone"


class Tower(StrEnum):
    """What an encoder can embed."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What decoding learns of an image besides its pixels.

    width, height: pixels, after EXIF orientation. format: lower-case name (`jpeg`, `heif`).
    taken_at: local time as the camera wrote it, no zone. latitude, longitude: degrees, WGS 84.
    perceptual_hash: 32 bytes of PDQ (Facebook, 2019), or None when the image has no structure.
    """

    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    perceptual_hash: bytes | None = None
    perceptual_hash_quality: int | None = None
