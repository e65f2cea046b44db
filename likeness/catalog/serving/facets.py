"""What a collection can be narrowed down by: values that occur, how often, and their filters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, cast, extract, func, select

from likeness.catalog import Catalog
from likeness.catalog.engine import reading
from likeness.catalog.image_reads import column_names
from likeness.catalog.rows import camera_name
from likeness.catalog.schema import ImageTable, TagRow
from likeness.catalog.where import Where
from likeness.catalog.where.sql import compile_where
from likeness.types import ImageState

_MOST = 30
_MOST_FOLDERS = 5000
_PLACE_KM = 80
"""Reaches over a cell of one degree from anywhere near its middle."""

_SIZES = (
    ("under 1 MP", "pixels:<1MP", 0, 10**6),
    ("1–4 MP", "pixels:>=1MP pixels:<4MP", 10**6, 4 * 10**6),
    ("4–12 MP", "pixels:>=4MP pixels:<12MP", 4 * 10**6, 12 * 10**6),
    ("12 MP and more", "pixels:>=12MP", 12 * 10**6, 2**62),
)
_MEANING = re.compile(r'([*?"\\])')


@dataclass(frozen=True, slots=True)
class FacetValue:
    """count: ready images. where: the filter that leaves exactly these; of a place, those near."""

    label: str
    count: int
    where: str


@dataclass(frozen=True, slots=True)
class Facet:
    """name: taken, camera, place, folder, size, format or tag. values: most frequent first."""

    name: str
    values: tuple[FacetValue, ...]


def facets(catalog: Catalog, collection_id: int, where: Where | None = None) -> list[Facet]:
    """The facets of a collection's ready images; those without values are left out.

    where: only of the images that meet it. Raises WhereError.
    """
    t = ImageTable
    ready = and_(t.collection_id == collection_id, t.state == ImageState.READY.value)
    with reading(catalog.engine) as connection:
        if where is not None:
            columns = column_names(connection, collection_id) if where.columns else []
            condition = compile_where(where, columns=columns, dialect=connection.dialect.name)
            # By itself, so that the tables of the filter and of the counting stay apart.
            kept = select(t.id).where(ready, condition).cte("kept")
            ready = and_(ready, t.id.in_(select(kept.c.id)))
        found = [
            Facet("taken", _years(connection, ready)),
            Facet("camera", _cameras(connection, ready)),
            Facet("place", _places(connection, ready)),
            Facet("folder", _folders(connection, ready)),
            Facet("size", _sizes(connection, ready)),
            Facet("format", _formats(connection, ready)),
            Facet("tag", _tags(connection, ready)),
        ]
    return [facet for facet in found if facet.values]


def quoted(text: str) -> str:
    """The text as a filter's value that means just itself."""
    return '"' + _MEANING.sub(r"\\\1", text) + '"'


def _years(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    year = extract("year", ImageTable.taken_at)
    rows = connection.execute(
        select(year, func.count())
        .where(ready, ImageTable.taken_at.is_not(None))
        .group_by(year)
        .order_by(year.desc())
    )
    return tuple(FacetValue(str(int(y)), n, f"taken:{int(y):04d}") for y, n in rows)


def _cameras(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    t = ImageTable
    rows = connection.execute(
        select(func.min(t.camera_make), func.min(t.camera_model), func.count())
        .where(ready, t.camera_folded.is_not(None))
        .group_by(t.camera_folded)
        .order_by(func.count().desc(), t.camera_folded)
        .limit(_MOST)
    )
    named = [(camera_name(make, model), n) for make, model, n in rows]
    return tuple(FacetValue(name, n, f"camera:{quoted(name)}") for name, n in named if name)


def _places(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    t = ImageTable
    rows = connection.execute(
        select(func.avg(t.latitude), func.avg(t.longitude), func.count())
        .where(ready, t.latitude.is_not(None), t.longitude.is_not(None))
        .group_by(func.round(t.latitude), func.round(t.longitude))
        .order_by(func.count().desc())
        .limit(_MOST)
    )
    return tuple(
        FacetValue(
            f"{abs(lat):.1f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.1f}° "
            f"{'E' if lon >= 0 else 'W'}",
            n,
            f"near:{lat:.4f},{lon:.4f},{_PLACE_KM}km",
        )
        for lat, lon, n in ((float(a), float(b), n) for a, b, n in rows)
    )


def _folders(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    t = ImageTable
    # Without its last part: everything that is no slash is trimmed from the right.
    folder = func.rtrim(t.path, func.replace(t.path, "/", ""))
    rows = connection.execute(
        select(folder, func.count())
        .where(ready)
        .group_by(folder)
        .order_by(func.count().desc())
        .limit(_MOST_FOLDERS)
    )
    below: Counter[str] = Counter()
    for path, count in rows:
        for parent in _parents(path):
            below[parent] += count
    return tuple(
        FacetValue(path.rstrip("/") or "/", n, f'path:{quoted(path)[:-1]}*"')
        for path, n in _telling(below)
    )


def _parents(path: str) -> list[str]:
    """`/a/b/` → `/a/`, `/a/b/`."""
    parts = path.rstrip("/").split("/")
    return ["/".join(parts[: at + 1]) + "/" for at in range(1, len(parts))]


def _telling(below: Counter[str]) -> Sequence[tuple[str, int]]:
    """The fullest folders, without those that hold nothing but one other folder."""
    ordered = sorted(below.items())
    told = [
        (path, count)
        for (path, count), (inner, inner_count) in zip(
            ordered, [*ordered[1:], ("", 0)], strict=False
        )
        if not (inner.startswith(path) and inner_count == count)
    ]
    return sorted(told, key=lambda each: (-each[1], each[0]))[:_MOST]


def _sizes(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    t = ImageTable
    pixels = cast(t.width, BigInteger) * t.height
    values = []
    for label, where, low, high in _SIZES:
        count = connection.execute(
            select(func.count()).where(ready, pixels >= low, pixels < high)
        ).scalar_one()
        if count:
            values.append(FacetValue(label, count, where))
    return tuple(values)


def _formats(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    t = ImageTable
    rows = connection.execute(
        select(t.format, func.count())
        .where(ready, t.format.is_not(None))
        .group_by(t.format)
        .order_by(func.count().desc(), t.format)
    )
    return tuple(FacetValue(name, n, f"format:{name}") for name, n in rows if name)


def _tags(connection: Connection, ready: ColumnElement[bool]) -> tuple[FacetValue, ...]:
    rows = connection.execute(
        select(func.min(TagRow.tag), func.count())
        .join(ImageTable, ImageTable.id == TagRow.image_id)
        .where(ready)
        .group_by(TagRow.tag_folded)
        .order_by(func.count().desc(), TagRow.tag_folded)
        .limit(_MOST)
    )
    return tuple(FacetValue(tag, n, f"tag:{quoted(tag)}") for tag, n in rows)
