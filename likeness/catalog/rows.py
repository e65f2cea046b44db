"""Between the catalog's records and the columns of its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from likeness.catalog.folding import clean, fold
from likeness.catalog.geography import without_dust
from likeness.catalog.records import (
    Collection,
    FieldValue,
    ImageRow,
    KnownImage,
    SourceFacts,
    Space,
    SpaceState,
)
from likeness.errors import InputError
from likeness.types import ImageFacts, ImageState, Tower

MAX_URI_BYTES = 2600
"""What fits into a PostgreSQL index; the same limit holds for SQLite, so that both keep alike."""

MAX_NAME_BYTES = 500
"""Of a tag and of a list column's name, which are indexed too."""

_INT64_MAX = 2**63 - 1


def check_source(source: SourceFacts, *, readable: bool) -> None:
    """Raise ValueError if source cannot be a row's identity."""
    n = len(source.uri.encode())
    if n > MAX_URI_BYTES:
        raise ValueError(f"{source.uri[:80]}… has {n} bytes, limit {MAX_URI_BYTES}")
    if source.sha256 == "" and not readable:
        return
    if len(source.sha256) != 64:
        raise ValueError(f"{source.uri}: {source.sha256!r} is not a SHA-256 in hexadecimal")


def check_name(name: str, what: str) -> str:
    """Return a tag or a column name as it can be stored; InputError when it cannot."""
    cleaned = clean(name)
    if not cleaned.strip():
        raise InputError(f"a {what} cannot be empty")
    if len(cleaned.encode()) > MAX_NAME_BYTES:
        raise InputError(f"the {what} {cleaned[:40]}… is longer than {MAX_NAME_BYTES} bytes")
    return cleaned


def clamp(value: int | None) -> int | None:
    """Return value as it fits into 64 bits; file systems hold odder times than databases."""
    return None if value is None else max(-_INT64_MAX, min(_INT64_MAX, value))


def camera_name(make: str | None, model: str | None) -> str | None:
    """Return `Make Model`, without the make twice where the model starts with it."""
    if not make or not model:
        return make or model
    return model if fold(model).startswith(fold(make)) else f"{make} {model}"


def facts_values(facts: ImageFacts) -> dict[str, Any]:
    """Return the columns of `images` that hold facts."""
    make, model, lens = (
        None if text is None else clean(text)
        for text in (facts.camera_make, facts.camera_model, facts.lens)
    )
    camera = camera_name(make, model)
    latitude, longitude = facts.latitude, facts.longitude
    if latitude is None or longitude is None or not _is_place(latitude, longitude):
        latitude = longitude = None
    else:
        latitude, longitude = without_dust(latitude), without_dust(longitude)
    return {
        "width": facts.width,
        "height": facts.height,
        "format": facts.format.lower(),
        "taken_at": None if facts.taken_at is None else facts.taken_at.replace(tzinfo=None),
        "camera_make": make,
        "camera_model": model,
        "lens": lens,
        "make_folded": None if make is None else fold(make),
        "model_folded": None if model is None else fold(model),
        "camera_folded": None if camera is None else fold(camera),
        "lens_folded": None if lens is None else fold(lens),
        "latitude": latitude,
        "longitude": longitude,
        "perceptual_hash": facts.perceptual_hash,
        "perceptual_hash_quality": facts.perceptual_hash_quality,
    }


def _is_place(latitude: float, longitude: float) -> bool:
    return -90 <= latitude <= 90 and -180 <= longitude <= 180  # NaN is not


FACT_COLUMNS = tuple(facts_values(ImageFacts(width=0, height=0, format="")))


def field_values(image_id: int, fields: Mapping[str, FieldValue]) -> list[dict[str, Any]]:
    """Return rows of `image_fields`."""
    rows = []
    for name, value in fields.items():
        is_number = isinstance(value, int | float) and math.isfinite(value)
        text = f"{value:.17g}" if is_number else clean(str(value))
        rows.append(
            {
                "image_id": image_id,
                "name": name,
                "text": text,
                "text_folded": fold(text),
                "number": float(value) if is_number else as_number(text),
                "is_number": is_number,
            }
        )
    return rows


def as_number(text: str) -> float | None:
    """Return the finite number that text spells in digits, or None."""
    stripped = text.strip()
    if not stripped or not stripped.isascii() or "_" in stripped:
        return None
    try:
        number = float(stripped)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def collection_record(row: Row[*tuple[Any, ...]]) -> Collection:
    return Collection(row.id, row.name, row.created_at, row.revision)


def space_record(row: Row[*tuple[Any, ...]]) -> Space:
    towers = frozenset(Tower(name) for name in row.towers.split(",") if name)
    return Space(
        row.id,
        row.collection_id,
        row.encoder,
        row.fingerprint,
        row.dim,
        towers,
        SpaceState(row.state),
    )


def known_record(row: Row[*tuple[Any, ...]], spaces: frozenset[int]) -> KnownImage:
    return KnownImage(
        row.id,
        row.uri,
        row.path,
        row.sha256.hex(),
        row.size,
        row.mtime_ns,
        ImageState(row.state),
        row.reason_code,
        spaces,
    )


def image_record(
    row: Row[*tuple[Any, ...]], tags: frozenset[str], fields: Mapping[str, FieldValue]
) -> ImageRow:
    facts = None
    if row.width is not None:
        facts = ImageFacts(
            width=row.width,
            height=row.height,
            format=row.format,
            taken_at=row.taken_at,
            camera_make=row.camera_make,
            camera_model=row.camera_model,
            lens=row.lens,
            latitude=row.latitude,
            longitude=row.longitude,
            perceptual_hash=row.perceptual_hash,
            perceptual_hash_quality=row.perceptual_hash_quality,
        )
    return ImageRow(
        id=row.id,
        collection_id=row.collection_id,
        uri=row.uri,
        path=row.path,
        sha256=row.sha256.hex(),
        size=row.size,
        mtime_ns=row.mtime_ns,
        state=ImageState(row.state),
        reason_code=row.reason_code,
        message=row.message,
        facts=facts,
        added_at=row.added_at,
        revision=row.revision,
        tags=tags,
        fields=fields,
    )
