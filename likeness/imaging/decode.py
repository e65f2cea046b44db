"""Bytes → upright sRGB pixels and the facts of the file, or one `ImageError` that says why not.

`decode` runs in the calling process: give it only bytes that you trust not to kill it, and use
`likeness.imaging.pool.DecodePool` for everything else.
"""

from __future__ import annotations

import importlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from likeness.errors import CorruptImage, ImageError, ImageTooLarge, UnsupportedFormat
from likeness.imaging.colour import to_rgb8
from likeness.imaging.exif import ExifFacts, orientation_of, read_exif
from likeness.imaging.sniff import HEIF, JPEG, PNG, TIFF, Format, foreign_name, sniff
from likeness.types import ImageFacts, RgbImage

_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706

READ_FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, JPEG 2000 and PPM"


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one image may cost. memory_bytes and timeout_s are enforced by the pool's workers."""

    max_pixels: int = 100_000_000
    max_bytes: int = 200 << 20
    timeout_s: float = 20.0
    memory_bytes: int = 2 << 30


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """pixels: uint8 [h, w, 3], possibly smaller than facts say when decoded at reduced scale."""

    pixels: RgbImage
    facts: ImageFacts


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    data: bytes,
    name: str,
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
    min_side: int | None = None,
) -> DecodedImage:
    """Decode the first frame of `data`, upright, in sRGB, transparency on white.

    name: path or URI, for messages only. min_side: pixels; a large JPEG may be decoded at 1/2, 1/4
    or 1/8 scale as long as its shorter side stays at least this; None decodes in full. The facts
    hold the full size either way.
    Raises UnsupportedFormat, ImageTooLarge or CorruptImage; nothing else.
    """
    check_size(len(data), name, limits)
    found = sniff(data)
    if found is None:
        raise UnsupportedFormat(name, f"it is {foreign_name(data)}", f"{READ_FORMATS} are read")
    try:
        with pillow_quiet(limits.max_pixels):
            return _decode(data, name, found, limits, min_side)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageTooLarge(
            name,
            f"decoding it takes more memory than the limit of {limits.memory_bytes >> 20} MiB",
            "raise LIKENESS_DECODE_MEMORY to allow it",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name, f"more than {2 * limits.max_pixels:,}", limits) from error
    except Exception as error:
        # Pillow's plugins raise whatever a broken file leads them to.
        raise CorruptImage(name, _reason(found, error)) from error


def check_size(size_bytes: int, name: str, limits: DecodeLimits) -> None:
    """Raise ImageTooLarge when a file of this size may not be read."""
    if size_bytes > limits.max_bytes:
        raise ImageTooLarge(
            name,
            f"the file has {size_bytes / 2**20:,.0f} MiB, limit {limits.max_bytes / 2**20:,.0f}",
            "raise LIKENESS_MAX_BYTES to allow it",
        )


def _decode(
    data: bytes, name: str, found: Format, limits: DecodeLimits, min_side: int | None
) -> DecodedImage:
    image = _open_heif(data, name, limits) if found is HEIF else _open(data, found)
    _check_pixels(image.size, name, limits)
    width, height = image.size
    if found is TIFF:
        _refuse_camera_raw(image, name)
    exif = read_exif(image.getexif()) if found is not PNG else None
    icc_profile = image.info.get("icc_profile")
    if found is JPEG and min_side is not None:
        _reduce(image, min_side)
    image.load()
    if exif is None:  # PNG may keep its EXIF chunk after the pixels
        exif = read_exif(image.getexif())
    # TIFF turns itself upright while loading and drops the tag: ask again.
    orientation = orientation_of(image.getexif()) if found is TIFF else exif.orientation
    if found is TIFF:
        width, height = image.size
    pixels = to_rgb8(image, icc_profile if isinstance(icc_profile, bytes) else None)
    if orientation in _TRANSPOSE:
        pixels = pixels.transpose(_TRANSPOSE[orientation])
        if orientation >= 5:
            width, height = height, width
    return DecodedImage(np.asarray(pixels), _facts(width, height, found, exif))


def _facts(width: int, height: int, found: Format, exif: ExifFacts) -> ImageFacts:
    return ImageFacts(
        width=width,
        height=height,
        format=found.name,
        taken_at=exif.taken_at,
        camera_make=exif.camera_make,
        camera_model=exif.camera_model,
        lens=exif.lens,
        latitude=exif.latitude,
        longitude=exif.longitude,
    )


def _open(data: bytes, found: Format) -> Image.Image:
    """Pillow's lazy image of exactly the sniffed format; no other plugin is asked."""
    assert found.plugin is not None
    assert found.module is not None
    plugin: Any = importlib.import_module(found.module)
    if found.plugin == "AVIF":
        plugin.DEFAULT_MAX_THREADS = 1  # the pool has one process per core already
    return Image.open(io.BytesIO(data), formats=(found.plugin,))


def _open_heif(data: bytes, name: str, limits: DecodeLimits) -> Image.Image:
    """HEIC by libheif, which applies the file's own rotation; not registered with Pillow."""
    import pillow_heif

    heif = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    _check_pixels(heif.size, name, limits)
    image: Image.Image = heif.to_pillow()
    return image


def _reduce(image: Image.Image, min_side: int) -> None:
    """Let libjpeg leave out the frequencies that resizing would throw away."""
    scale = min_side / min(image.size)
    if scale < 1:
        width, height = image.size
        image.draft(image.mode, (max(1, int(width * scale)), max(1, int(height * scale))))


def _check_pixels(size: tuple[int, int], name: str, limits: DecodeLimits) -> None:
    pixels = size[0] * size[1]
    if pixels > limits.max_pixels:
        raise _too_many_pixels(name, f"{pixels:,}", limits)
    if pixels == 0:
        raise CorruptImage(name, "it has no pixels")


def _too_many_pixels(name: str, pixels: str, limits: DecodeLimits) -> ImageTooLarge:
    return ImageTooLarge(
        name,
        f"it has {pixels} pixels, limit {limits.max_pixels:,}",
        "raise LIKENESS_MAX_PIXELS to allow it",
    )


def _refuse_camera_raw(image: Image.Image, name: str) -> None:
    """Raw files dress as TIFF, with a preview of stamp size where the picture should be."""
    tags = image.getexif()
    is_preview = tags.get(_NEW_SUBFILE_TYPE, 0) == 1 and _SUB_IFDS in tags
    if is_preview or _DNG_VERSION in tags:
        raise UnsupportedFormat(name, "it is a camera raw file", "export it as JPEG or TIFF")


def _reason(found: Format, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it begins as {found.name} but its header makes no sense"
    text = str(error).strip() or type(error).__name__
    return f"broken {found.name}: {text[:200]}"


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_state: list[Any] = []


@contextmanager
def pillow_quiet(max_pixels: int) -> Iterator[None]:
    """Pillow's warnings off (bad EXIF does not spoil a good image) and its bomb check at ours.

    Both are global to the process, so the first decode in sets them and the last one out puts them
    back.
    """
    global _quiet_depth
    with _quiet_lock:
        if _quiet_depth == 0:
            catcher = warnings.catch_warnings()
            catcher.__enter__()
            warnings.simplefilter("ignore")
            _quiet_state[:] = [catcher, Image.MAX_IMAGE_PIXELS]
        Image.MAX_IMAGE_PIXELS = max(max_pixels, Image.MAX_IMAGE_PIXELS or 0)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                catcher, Image.MAX_IMAGE_PIXELS = _quiet_state
                catcher.__exit__(None, None, None)
