"""Hashes of other libraries, for finding copies: pixels in, bits out."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from likeness.imaging.perceptual import perceptual_hash
from likeness.types import RgbImage

Bits: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [n, bytes]: packed hashes."""


def hash_methods() -> dict[str, Callable[[RgbImage], Bits]]:
    """Each peer that is installed: pixels to one packed hash."""
    methods: dict[str, Callable[[RgbImage], Bits]] = {"PDQ": pdq_of}
    if importlib.util.find_spec("imagehash"):
        import imagehash

        for name in ("phash", "dhash", "average_hash", "whash"):
            methods[f"imagehash {name}"] = _imagehash(getattr(imagehash, name))
    if importlib.util.find_spec("imagededup"):
        dedup = importlib.import_module("imagededup.methods")
        for name in ("PHash", "DHash", "AHash", "WHash"):
            methods[f"imagededup {name}"] = _imagededup(getattr(dedup, name)(verbose=False))
    return methods


def _imagehash(function: Callable[[Image.Image], Any]) -> Callable[[RgbImage], Bits]:
    return lambda pixels: np.packbits(function(Image.fromarray(pixels)).hash.ravel())


def _imagededup(method: Any) -> Callable[[RgbImage], Bits]:
    return lambda pixels: np.frombuffer(
        bytes.fromhex(method.encode_image(image_array=pixels)), dtype=np.uint8
    )


def pdq_of(pixels: RgbImage) -> Bits:
    """uint8 [32]; zeros for a picture without structure."""
    return np.frombuffer(perceptual_hash(pixels)[0] or bytes(32), dtype=np.uint8)


def pdq(images: Sequence[RgbImage]) -> Bits:
    """uint8 [n, 32]."""
    return np.stack([pdq_of(image) for image in images])
