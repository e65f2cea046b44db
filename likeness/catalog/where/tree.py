"""The tree that a filter becomes. Pure values: frozen, comparable, and printed canonically.

`str` of a tree is a filter that parses to an equal tree. Positions point into the text that was
parsed, for errors found later; they take no part in comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Generic, TypeAlias, TypeVar

from likeness.catalog.where.moment import Moment

V = TypeVar("V", int, str, Moment)

_BARE_NAME = re.compile(r"[^\W\d][\w.-]*")
_BARE_TEXT = re.compile(r"[\w/.*?@+,'-]+")
_BARE_OPERAND = re.compile(r"[\w/@+,'-]+(\.[\w/@+,'-]+)*")


class Op(StrEnum):
    """How a value is compared; EQUAL is written by the colon alone."""

    EQUAL = ""
    AT_LEAST = ">="
    MORE = ">"
    AT_MOST = "<="
    LESS = "<"


@dataclass(frozen=True, slots=True)
class Compare(Generic[V]):
    op: Op
    value: V

    def __str__(self) -> str:
        return f"{self.op.value}{_operand(self.value)}"


@dataclass(frozen=True, slots=True)
class Between(Generic[V]):
    """Both ends included; None: open."""

    low: V | None
    high: V | None

    def __str__(self) -> str:
        low, high = ("" if end is None else _operand(end) for end in (self.low, self.high))
        return f"{low}..{high}"


class Wildcard(Enum):
    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text with wildcards. pieces: literal runs, never empty or adjacent, and wildcards."""

    pieces: tuple[str | Wildcard, ...]

    @property
    def literal(self) -> str | None:
        """The text itself when it has no wildcard."""
        runs = [piece for piece in self.pieces if isinstance(piece, str)]
        return "".join(runs) if len(runs) == len(self.pieces) else None

    def __str__(self) -> str:
        text = "".join(
            _escape(piece) if isinstance(piece, str) else piece.value for piece in self.pieces
        )
        return text if _BARE_TEXT.fullmatch(text) and ".." not in text else f'"{text}"'


@dataclass(frozen=True, slots=True)
class NumberTerm:
    """A whole number of the image: width, height, pixels, size in bytes, id."""

    name: str
    bounds: Compare[int] | Between[int]
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}:{self.bounds}"


@dataclass(frozen=True, slots=True)
class TimeTerm:
    """taken: by the camera's clock; added: to the collection, UTC."""

    name: str
    bounds: Compare[Moment] | Between[Moment]
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}:{self.bounds}"


@dataclass(frozen=True, slots=True)
class TextTerm:
    """camera, lens, format, path, tag."""

    name: str
    pattern: Pattern
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}:{self.pattern}"


@dataclass(frozen=True, slots=True)
class NearTerm:
    """Within radius_m metres, along a great circle, of a place in degrees."""

    latitude: float
    longitude: float
    radius_m: float
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"near:{self.latitude!r},{self.longitude!r},{self.radius_m!r}m"


@dataclass(frozen=True, slots=True)
class HasTerm:
    """what: gps, taken or tags."""

    what: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"has:{self.what}"


@dataclass(frozen=True, slots=True)
class ColumnTerm:
    """A list column. test: a pattern that its text, or a bound that its value, must meet."""

    name: str
    test: Pattern | Compare[str] | Between[str]
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        bare = _BARE_NAME.fullmatch(self.name) is not None
        collides = self.name in FIELD_NAMES or self.name.startswith("meta.")
        name = self.name if bare else f'"{_escape(self.name)}"'
        return f"{'meta.' if collides or self.name in _KEYWORDS else ''}{name}:{self.test}"


@dataclass(frozen=True, slots=True)
class Not:
    term: Node

    def __str__(self) -> str:
        if isinstance(self.term, And | Or | Not):
            return f"-({self.term})"
        return f"-{self.term}"


@dataclass(frozen=True, slots=True)
class And:
    """At least two terms, none of them an And."""

    terms: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({term})" if isinstance(term, Or) else str(term) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Or:
    """At least two terms, none of them an Or."""

    terms: tuple[Node, ...]

    def __str__(self) -> str:
        return " OR ".join(str(term) for term in self.terms)


Leaf: TypeAlias = NumberTerm | TimeTerm | TextTerm | NearTerm | HasTerm | ColumnTerm
Node: TypeAlias = Leaf | Not | And | Or


@dataclass(frozen=True, slots=True)
class Where:
    """A whole filter. text: as it was written, for messages."""

    root: Node
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def columns(self) -> frozenset[str]:
        """The list columns that it names."""
        return frozenset(_columns(self.root))


TIME_FIELDS = ("taken", "added")
NUMBER_FIELDS = ("width", "height", "pixels", "size", "id")
TEXT_FIELDS = ("camera", "lens", "format", "path", "tag")
FIELD_NAMES = (*TIME_FIELDS, *TEXT_FIELDS, *NUMBER_FIELDS, "near", "has")
HAS_VALUES = ("gps", "taken", "tags")
_KEYWORDS = ("AND", "OR", "NOT")


def _columns(node: Node) -> Iterator[str]:
    match node:
        case And(terms) | Or(terms):
            for term in terms:
                yield from _columns(term)
        case Not(term):
            yield from _columns(term)
        case ColumnTerm(name):
            yield name


def both(terms: list[Node]) -> Node:
    """Return the terms joined by AND, flat; one term is itself."""
    flat = [t for term in terms for t in (term.terms if isinstance(term, And) else (term,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def either(terms: list[Node]) -> Node:
    """Return the terms joined by OR, flat; one term is itself."""
    flat = [t for term in terms for t in (term.terms if isinstance(term, Or) else (term,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def _escape(text: str) -> str:
    return re.sub(r'([\\"*?])', r"\\\1", text)


def _operand(value: int | str | Moment) -> str:
    if not isinstance(value, str):
        return str(value)
    return value if _BARE_OPERAND.fullmatch(value) else f'"{_escape(value)}"'
