"""EXIF facts of an opened picture: when, with what, where. Broken tags count as absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from PIL import ExifTags, Image

_T = TypeVar("_T")
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """orientation: 1..8, as EXIF numbers it; the rest as in `likeness.types.ImageFacts`."""

    orientation: int = 1
    taken_at: datetime | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def read_exif(exif: Image.Exif) -> ExifFacts:
    """Whatever of `exif` can be made sense of; never raises."""
    nothing: dict[int, Any] = {}
    details = _attempt(lambda: exif.get_ifd(ExifTags.IFD.Exif), nothing)
    place = _attempt(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo), nothing)
    taken = (
        _time(details, ExifTags.Base.DateTimeOriginal)
        or _time(details, ExifTags.Base.DateTimeDigitized)
        or _time(exif, ExifTags.Base.DateTime)
    )
    latitude, longitude = _place(place)
    return ExifFacts(
        orientation=orientation_of(exif),
        taken_at=taken,
        camera_make=_text(exif, ExifTags.Base.Make),
        camera_model=_text(exif, ExifTags.Base.Model),
        lens=_text(details, ExifTags.Base.LensModel),
        latitude=latitude,
        longitude=longitude,
    )


def orientation_of(exif: Mapping[int, Any] | Image.Exif) -> int:
    """1..8; 1 when absent or nonsense."""
    value = _attempt(lambda: int(exif.get(ExifTags.Base.Orientation, 1)), 1)
    return value if 1 <= value <= 8 else 1


def parse_time(text: str) -> datetime | None:
    """`2019:06:01 12:30:05` and the separators that cameras and programs use instead."""
    cleaned = text.strip("\x00 \t\r\n").replace("T", " ")[:19]
    date, _, clock = cleaned.partition(" ")
    for separator in "/-.":
        date = date.replace(separator, ":")
    for pattern in ("%Y:%m:%d %H:%M:%S", "%Y:%m:%d %H:%M", "%Y:%m:%d"):
        try:
            when = datetime.strptime(f"{date} {clock.strip()}".strip(), pattern)
        except ValueError:
            continue
        return when if when.year > 1 else None
    return None


def degrees(parts: Any, reference: Any, limit: float) -> float | None:
    """Signed degrees from EXIF's (degrees, minutes, seconds), or None when they make no place."""
    values = [float(part) for part in parts]
    if not 1 <= len(values) <= 3 or not all(math.isfinite(value) for value in values):
        return None
    if any(value < 0 for value in values) or any(value >= 60 for value in values[1:]):
        return None
    angle = sum(value / 60.0**power for power, value in enumerate(values))
    if angle > limit:
        return None
    named = reference.decode("ascii", "replace") if isinstance(reference, bytes) else reference
    letter = str(named).strip("\x00 ").upper()[:1]
    if letter not in {"N", "S", "E", "W"}:
        return None
    return -angle if letter in {"S", "W"} else angle


def _place(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    latitude = _attempt(
        lambda: degrees(gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef], 90.0),
        None,
    )
    longitude = _attempt(
        lambda: degrees(gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef], 180.0),
        None,
    )
    if latitude is None or longitude is None:
        return None, None
    if latitude == 0.0 and longitude == 0.0:  # what devices write that had no fix
        return None, None
    return latitude, longitude


def _time(tags: Mapping[int, Any] | Image.Exif, tag: int) -> datetime | None:
    text = _text(tags, tag)
    return parse_time(text) if text else None


def _text(tags: Mapping[int, Any] | Image.Exif, tag: int) -> str | None:
    value = _attempt(lambda: tags.get(tag), None)
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    shown = "".join(c for c in value.split("\x00")[0] if c.isprintable()).strip()
    return shown[:_MAX_TEXT] or None


def _attempt(read: Callable[[], _T], otherwise: _T) -> _T:
    """`read()`, or `otherwise` when the tags are broken: in as many ways as there are programs."""
    try:
        return read()
    except Exception:  # noqa: BLE001
        return otherwise
