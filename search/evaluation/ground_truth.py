"""Ground truth of revisited Oxford and Paris, which is published as pickles, read without risk.

A pickle is a program. The one that runs here may build lists, dictionaries, strings and numbers,
and NumPy arrays of numbers, and nothing else: every other name it asks for ends the reading.
"""

from __future__ import annotations

import io
import json
import pickle  # only through _NumbersOnly below
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from likeness.errors import SourceError

_LARGEST = 64 << 20
_REMEDY = "give the published gnd_roxford5k.pkl or gnd_rparis6k.pkl, or the same as JSON"


@dataclass(frozen=True, slots=True)
class Entry:
    """One query's labels: gallery numbers, and the box in pixels that is the query."""

    easy: frozenset[int]
    hard: frozenset[int]
    junk: frozenset[int]
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """gallery, queries: image names without suffix. entries: one per query."""

    gallery: tuple[str, ...]
    queries: tuple[str, ...]
    entries: tuple[Entry, ...]


def read_ground_truth(path: Path) -> GroundTruth:
    """Read `imlist`, `qimlist` and `gnd` of a .pkl or .json file. Raises SourceError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise SourceError(str(path), f"it is larger than {_LARGEST >> 20} MiB", _REMEDY)
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(str(path), f"it cannot be read: {error.strerror}", _REMEDY) from error
    try:
        document = json.loads(data) if path.suffix.lower() == ".json" else _unpickle(data)
        return _from_document(document)
    except _RefusedError as error:
        raise SourceError(str(path), str(error), _REMEDY) from error
    except Exception as error:
        # Broken pickles raise whatever their bytes lead the reader to.
        raise SourceError(str(path), f"it is no ground truth ({error!r})", _REMEDY) from error


class _RefusedError(Exception):
    """A pickle asked for something that labels do not need."""


def _array(*_args: object) -> np.ndarray[Any, Any]:
    """Stands for NumPy's array constructor: an empty array, filled by its state afterwards."""
    return np.ndarray((0,), dtype=np.int8)


class _NumbersOnly(pickle.Unpickler):
    """Builds plain containers and NumPy arrays of numbers."""

    def find_class(self, module: str, name: str) -> Any:
        if module in {"numpy.core.multiarray", "numpy._core.multiarray"}:
            if name == "_reconstruct":
                return _array
            if name == "scalar":
                return _scalar
        if module == "numpy" and name == "ndarray":
            return "ndarray"  # only ever handed to _array, which does not look at it
        if module == "numpy" and name == "dtype":
            return _number_type
        if module == "_codecs" and name == "encode":
            return _bytes
        raise _RefusedError(f"it asks for {module}.{name}, which labels do not need")


def _bytes(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes."""
    if encoding != "latin1":
        raise _RefusedError(f"it spells bytes in {encoding!r}")
    return text.encode("latin1")


def _number_type(code: str, *_flags: object) -> np.dtype[Any]:
    found = np.dtype(code)
    if found.kind not in "biuf":
        raise _RefusedError(f"it holds an array of {found}, not of numbers")
    return found


def _scalar(kind: np.dtype[Any], data: bytes) -> float:
    return float(np.frombuffer(data, dtype=kind, count=1)[0])


def _unpickle(data: bytes) -> Any:
    # The published files were written by Python 2: its byte strings are Latin-1 here.
    return _NumbersOnly(io.BytesIO(data), encoding="latin1").load()


def _from_document(document: Mapping[str, Any]) -> GroundTruth:
    gallery = tuple(str(name) for name in document["imlist"])
    queries = tuple(str(name) for name in document["qimlist"])
    entries = tuple(_entry(each, len(gallery)) for each in document["gnd"])
    if len(entries) != len(queries):
        raise _RefusedError(f"it has {len(queries)} queries and labels for {len(entries)}")
    return GroundTruth(gallery, queries, entries)


def _entry(each: Mapping[str, Any], gallery: int) -> Entry:
    box = each.get("bbx")
    sides = None if box is None else [float(value) for value in box]
    if sides is not None and len(sides) != 4:
        raise _RefusedError(f"it has a box of {len(sides)} numbers")
    return Entry(
        _numbers(each["easy"], gallery),
        _numbers(each["hard"], gallery),
        _numbers(each["junk"], gallery),
        None if sides is None else (sides[0], sides[1], sides[2], sides[3]),
    )


def _numbers(values: Sequence[Any], gallery: int) -> frozenset[int]:
    numbers = frozenset(int(value) for value in values)
    if any(not 0 <= number < gallery for number in numbers):
        raise _RefusedError(f"it labels an image beyond its list of {gallery}")
    return numbers
