"""Any Pillow mode → 8-bit sRGB on white, without losing range.

A 16-bit sample is scaled, never clipped; transparency is composited on white; an ICC profile that
is not sRGB is applied, and one that is broken or made for another colour model is ignored.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
_COLOUR_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
_MAX_PROFILE_BYTES = 4 << 20


def to_rgb8(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """`image` in mode RGB: sRGB, alpha over white. Raises what Pillow raises on a bad image."""
    image = _to_eight_bits(image)
    alpha, image = _split_alpha(image)
    image = _to_srgb(image, icc_profile)
    if alpha is not None:
        backdrop = Image.new("RGB", image.size, _WHITE)
        backdrop.paste(image, mask=alpha)
        return backdrop
    return image


def _split_alpha(image: Image.Image) -> tuple[Image.Image | None, Image.Image]:
    """(alpha in mode L or None when wholly opaque, the colours without alpha)."""
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    elif image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "PA" or "transparency" in image.info:
        grey = image.mode in {"1", "L"}
        image = image.convert("LA" if grey and image.mode == "L" else "RGBA")
    elif image.mode == "P":
        has_alpha = image.palette is not None and image.palette.mode.endswith("A")
        return (
            (None, image.convert("RGB")) if not has_alpha else _split_alpha(image.convert("RGBA"))
        )
    if image.mode not in {"RGBA", "LA"}:
        return None, image
    alpha = image.getchannel("A")
    colours = image.convert("RGB" if image.mode == "RGBA" else "L")
    opaque = alpha.getextrema() == (255, 255)
    return (None if opaque else alpha), colours


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deep greyscale to mode L; every other mode as it is.

    I;16 spans 0..65535 whatever the picture uses of it. I (32-bit integers) counts as 16-bit when
    its values fit, F (float) as 0..1 when its values fit; else each is stretched over its range.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    # Pillow exports I;16, I;16B, I;16L, I;16N, I and F with their true dtype and byte order.
    samples = np.asarray(image).astype(np.float64)
    finite = np.isfinite(samples)
    if not finite.all():
        samples = np.where(finite, samples, 0.0)
    low, high = float(samples.min()), float(samples.max())
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    elif image.mode == "I" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0 if high > 255 else 255.0
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif image.mode == "F" and low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    span = high - low or 1.0
    return Image.fromarray(np.rint((samples - low) * (255.0 / span)).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and len(profile) <= _MAX_PROFILE_BYTES:
        if image.mode in {"1", "YCbCr", "HSV"}:
            image = image.convert("L" if image.mode == "1" else "RGB")
        if _profile_kind(profile) == image.mode:
            converted = _apply(image, profile)
            if converted is not None:
                return converted
    if image.mode == "RGB":
        return image
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_transform()) or image
    return image.convert("RGB")


def _apply(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` through `profile` to sRGB, or None when the profile cannot be used."""
    transform = _transform(profile, image.mode)
    if transform is None:
        return None
    try:
        return ImageCms.applyTransform(image, transform)
    except ImageCms.PyCMSError:
        return None


@lru_cache(maxsize=8)
def _profile_kind(profile: bytes) -> str:
    """'srgb', the Pillow mode that the profile is made for, or '' when it is broken."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = str(opened.profile.xcolor_space)
        description = str(opened.profile.profile_description or "")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""
    if space == "RGB " and "srgb" in description.lower().replace(" ", ""):
        return "srgb"
    return _COLOUR_MODES.get(space, "")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
