"""The map as it travels: columns of small integers, about eleven bytes an image.

    magic     8 bytes   `LKMAPV1` and a zero byte
    length    uint32    of the header, in bytes
    header    JSON, UTF-8, padded with blanks to a multiple of 8
    columns   one after the other, each at the `offset` (from the end of the header) that it names

Integers are little-endian. Columns, of n images each:

    id        varint    difference to the id before (LEB128); ids ascend, the first counts from 0
    x, y      uint16    place within `bounds`: left, top, right, bottom
    cluster   uint16    number of the cluster + 1; 0 for none
    time      uint16    when it was taken within `times` (first, last), + 1; 0 where not known
    folder    uint16    place in `folders`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.catalog.sorting.clusters import Members
from likeness.catalog.sorting.points import PointFacts
from likeness.types import ImageIds
from search.clusters.map import CollectionMap

MEDIA_TYPE = "application/vnd.likeness.map"
MAGIC = b"LKMAPV1\0"
_TOP = 65_535
_MOST_FOLDERS = 400
_ALIGN = 8


@dataclass(frozen=True, slots=True)
class MapClusters:
    """run_id, run_name: of the clustering. names: of clusters by number."""

    run_id: int
    run_name: str
    names: dict[int, str]
    members: Members


def packed(made: CollectionMap, facts: PointFacts, clusters: MapClusters | None) -> bytes:
    """The map of those images that are ready, in the form above."""
    rows, known = _rows(facts.image_ids, made.image_ids)
    ids, places = made.image_ids[known], made.places[known]
    bounds = _bounds(places)
    folders, folder_names = _rolled_up(facts.folders[rows], facts.names)
    times, span = _times(facts.taken_s[rows])
    columns: list[tuple[str, str, bytes]] = [
        ("id", "varint", varints(np.diff(ids, prepend=0))),
        ("x", "uint16", _quantised(places[:, 0], bounds[0], bounds[2])),
        ("y", "uint16", _quantised(places[:, 1], bounds[1], bounds[3])),
        ("cluster", "uint16", _cluster_column(ids, clusters)),
        ("time", "uint16", times.astype("<u2").tobytes()),
        ("folder", "uint16", folders.astype("<u2").tobytes()),
    ]
    described, body = [], bytearray()
    for name, kind, data in columns:
        described.append({"name": name, "type": kind, "offset": len(body), "bytes": len(data)})
        body += data + b"\0" * (-len(data) % _ALIGN)
    header: dict[str, Any] = {
        "count": len(ids),
        "bounds": bounds,
        "computed_from": made.computed_from,
        "times": span,
        "folders": folder_names,
        "run": None if clusters is None else {"id": clusters.run_id, "name": clusters.run_name},
        "clusters": {} if clusters is None else {str(n): x for n, x in clusters.names.items()},
        "columns": described,
    }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % _ALIGN)
    return MAGIC + len(text).to_bytes(4, "little") + text + bytes(body)


def varints(values: npt.NDArray[np.int64]) -> bytes:
    """Each value, not negative, in as few bytes of seven bits as it needs (LEB128)."""
    if not len(values):
        return b""
    length = np.ones(len(values), dtype=np.int64)
    for bits in range(7, 63, 7):
        length += values >= 1 << bits
    end = np.cumsum(length)
    out = np.zeros(int(end[-1]), dtype=np.uint8)
    start = end - length
    for place in range(int(length.max())):
        rows = np.flatnonzero(length > place)
        more = (length[rows] > place + 1).astype(np.uint8) << 7
        out[start[rows] + place] = ((values[rows] >> (7 * place)) & 0x7F).astype(np.uint8) | more
    return out.tobytes()


def _rows(known: ImageIds, wanted: ImageIds) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows in `known` (ascending) of those of `wanted` that are in it; and which those are."""
    if not len(known):
        return np.empty(0, np.int64), np.zeros(len(wanted), np.bool_)
    at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    here = np.asarray(known[at] == wanted, dtype=np.bool_)
    return at[here], here


def _bounds(places: npt.NDArray[np.float32]) -> list[float]:
    if not len(places):
        return [-1.0, -1.0, 1.0, 1.0]
    low, high = places.min(axis=0), places.max(axis=0)
    high = np.maximum(high, low + 1e-6)
    return [float(value) for value in (low[0], low[1], high[0], high[1])]


def _quantised(values: npt.NDArray[np.float32], low: float, high: float) -> bytes:
    scaled = (values.astype(np.float64) - low) / (high - low) * _TOP
    return np.rint(scaled).clip(0, _TOP).astype("<u2").tobytes()


def _cluster_column(ids: ImageIds, clusters: MapClusters | None) -> bytes:
    column = np.zeros(len(ids), dtype="<u2")
    if clusters is not None:
        rows, here = _rows(clusters.members.image_ids, ids)
        numbers = clusters.members.numbers[rows] + 1
        column[here] = np.where(numbers <= _TOP, numbers, 0)
    return column.tobytes()


def _times(
    seconds: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], list[str] | None]:
    known = seconds >= 0
    column = np.zeros(len(seconds), dtype=np.int64)
    if not known.any():
        return column, None
    first, last = int(seconds[known].min()), int(seconds[known].max())
    share = (seconds[known] - first) / max(1, last - first)
    column[known] = 1 + np.rint(share * (_TOP - 1)).astype(np.int64)
    span = [
        datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat()
        for moment in (first, last)
    ]
    return column, span


def _rolled_up(
    folders: npt.NDArray[np.int32], names: Sequence[str]
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Folders as they are, or so much of their paths that there are no more than 400."""
    used = np.unique(folders)
    parts = {int(n): PurePosixPath(names[n]).parts for n in used}
    depth = max((len(each) for each in parts.values()), default=0)
    while len({each[:depth] for each in parts.values()}) > _MOST_FOLDERS and depth > 1:
        depth -= 1
    short = {n: str(PurePosixPath(*each[:depth])) if each else "" for n, each in parts.items()}
    listed = sorted(set(short.values()))
    if len(listed) > _TOP:
        listed = listed[:_TOP]
    place = {name: number for number, name in enumerate(listed)}
    of = np.zeros(max((*parts, -1)) + 1, dtype=np.int64)
    for n, name in short.items():
        of[n] = place.get(name, _TOP)
    return of[folders] if len(folders) else np.empty(0, np.int64), listed
