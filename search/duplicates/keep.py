"""Which image of a group stays: `best`, `largest`, `newest`, `oldest` or `path:PATTERN`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TypeAlias

from likeness.catalog.records import ImageRow
from likeness.errors import InputError

RULES = ("best", "largest", "newest", "oldest")

SortKey: TypeAlias = tuple[float | int | str, ...]


@dataclass(frozen=True, slots=True)
class KeepRule:
    """text: as the user gave it. rank: the image with the lowest comes first."""

    text: str
    rank: Callable[[ImageRow], SortKey]


def parse_keep(text: str) -> KeepRule:
    """The rule in words. Raises InputError naming the rules there are."""
    if text in RULES:
        return KeepRule(text, _RANKS[text])
    if text.startswith("path:") and len(text) > len("path:"):
        pattern = text.removeprefix("path:")

        def rank(row: ImageRow) -> SortKey:
            return (0 if fnmatchcase(row.path, pattern) else 1, *best_rank(row))

        return KeepRule(text, rank)
    raise InputError(
        f"--keep {text}: use one of {', '.join(RULES)} or path:PATTERN (path:*/2019/*)"
    )


def best_rank(row: ImageRow) -> SortKey:
    """Most pixels, then least compressed, then most known about it, then oldest, then first."""
    pixels = _pixels(row)
    bytes_per_pixel = (row.size or 0) / pixels if pixels else 0.0
    return (-pixels, -bytes_per_pixel, -_known(row), _time(row), row.id)


def _largest_rank(row: ImageRow) -> SortKey:
    return (-(row.size or 0), *best_rank(row))


def _newest_rank(row: ImageRow) -> SortKey:
    return (-_time(row), *best_rank(row))


def _oldest_rank(row: ImageRow) -> SortKey:
    return (_time(row), *best_rank(row))


_RANKS: dict[str, Callable[[ImageRow], SortKey]] = {
    "best": best_rank,
    "largest": _largest_rank,
    "newest": _newest_rank,
    "oldest": _oldest_rank,
}


def _pixels(row: ImageRow) -> int:
    return row.facts.width * row.facts.height if row.facts else 0


def _known(row: ImageRow) -> int:
    """How many facts, tags and list columns there are."""
    facts = row.facts
    found = len(row.tags) + len(row.fields)
    if facts is not None:
        values = (facts.taken_at, facts.camera_model, facts.lens, facts.latitude)
        found += sum(value is not None for value in values)
    return found


def _time(row: ImageRow) -> float:
    """Seconds: when it was taken, else when the file was last changed, else when it was added."""
    if row.facts is not None and row.facts.taken_at is not None:
        return row.facts.taken_at.replace(tzinfo=UTC).timestamp()
    if row.mtime_ns is not None:
        return row.mtime_ns / 1e9
    added: datetime = row.added_at
    return added.timestamp()
