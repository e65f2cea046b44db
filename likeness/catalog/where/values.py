"""What stands right of a field's name: characters with their quoting, and the values they spell."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from likeness.catalog.where.moment import Moment
from likeness.catalog.where.tree import NearTerm, Pattern, Wildcard
from likeness.errors import WhereError

_MAX_INT = 2**63 - 1
_NUMBER = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)([A-Za-z]*)", re.ASCII)
_DEGREES = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_RADIUS = re.compile(r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(km|m)", re.ASCII)

_UNITS = {
    "size": {
        "": 1,
        "b": 1,
        "k": 2**10,
        "kb": 2**10,
        "m": 2**20,
        "mb": 2**20,
        "g": 2**30,
        "gb": 2**30,
    },
    "pixels": {"": 1, "k": 10**3, "m": 10**6, "mp": 10**6},
}
_UNIT_HELP = {"size": "K, M or G", "pixels": "MP"}


@dataclass(frozen=True, slots=True)
class Char:
    """A character of a value. quoted: within "…"; escaped: after a backslash."""

    char: str
    position: int
    quoted: bool = False
    escaped: bool = False

    @property
    def is_plain(self) -> bool:
        return not self.quoted and not self.escaped

    @property
    def is_wildcard(self) -> bool:
        return self.char in "*?" and not self.escaped


@dataclass(frozen=True, slots=True)
class Value:
    """text: the whole filter; position: where this value begins in it."""

    text: str
    position: int
    chars: tuple[Char, ...]

    @property
    def spelt(self) -> str:
        return "".join(char.char for char in self.chars)

    def error(self, reason: str, position: int | None = None) -> WhereError:
        return WhereError(self.text, self.position if position is None else position, reason)

    def split_range(self) -> tuple[Value, Value] | None:
        """Return what is left and right of the first plain `..`, or None without one."""
        for i in range(len(self.chars) - 1):
            first, second = self.chars[i : i + 2]
            if first.char == second.char == "." and first.is_plain and second.is_plain:
                low = Value(self.text, self.position, self.chars[:i])
                return low, Value(self.text, second.position + 1, self.chars[i + 2 :])
        return None

    # ---------------------------------------------------------------- what it spells

    def pattern(self) -> Pattern:
        pieces: list[str | Wildcard] = []
        for char in self.chars:
            if char.is_wildcard:
                pieces.append(Wildcard(char.char))
            elif pieces and isinstance(pieces[-1], str):
                pieces[-1] += char.char
            else:
                pieces.append(char.char)
        return Pattern(tuple(pieces))

    def operand(self) -> str:
        """A column's value to compare with."""
        for char in self.chars:
            if char.is_wildcard:
                raise self.error(
                    f"a comparison has no wildcards; write \\{char.char} for the character itself",
                    char.position,
                )
        return self.spelt

    def moment(self) -> Moment:
        try:
            return Moment.parse(self.spelt)
        except ValueError as error:
            raise self.error(f"{self.spelt!r} is not a time: {error}") from error

    def whole_number(self, field: str) -> int:
        match = _NUMBER.fullmatch(self.spelt)
        if match is None:
            raise self.error(f"{self.spelt!r} is not a number")
        digits, unit = match.groups()
        units = _UNITS.get(field, {"": 1})
        factor = units.get(unit.lower())
        if factor is None:
            known = (
                f"{field} is written with {_UNIT_HELP[field]}"
                if field in _UNIT_HELP
                else (f"{field} has no units")
            )
            raise self.error(f"unknown unit {unit!r}: {known}", self.position + len(digits))
        number = Fraction(digits) * factor
        if factor == 1 and number.denominator != 1:
            raise self.error(f"{field} is a whole number")
        if number > _MAX_INT:
            raise self.error(f"{self.spelt} is too large")
        return round(number)

    def near(self, position: int) -> NearTerm:
        parts = self.spelt.split(",")
        if len(parts) != 3:
            raise self.error(
                "near is written near:LATITUDE,LONGITUDE,RADIUS, as near:48.2,16.4,5km"
            )
        starts = [self.position, self.position + len(parts[0]) + 1]
        degrees = []
        for name, part, start, limit in zip(
            ("latitude", "longitude"), parts[:2], starts, (90.0, 180.0), strict=True
        ):
            if _DEGREES.fullmatch(part.strip()) is None:
                raise self.error(f"{part!r} is not a {name} in degrees", start)
            if abs(float(part)) > limit:
                raise self.error(f"a {name} lies between -{limit:g} and {limit:g}", start)
            degrees.append(float(part))
        start = starts[1] + len(parts[1]) + 1
        radius = _RADIUS.fullmatch(parts[2].strip())
        if radius is None:
            raise self.error(f"{parts[2]!r} is not a radius, such as 500m or 5km", start)
        metres = float(radius[1]) * (1000 if radius[2] == "km" else 1)
        if not math.isfinite(metres):
            raise self.error("the radius is too large", start)
        return NearTerm(degrees[0], degrees[1], metres, position)
