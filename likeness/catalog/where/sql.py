"""Tree → SQL condition on `images`, meaning the same on SQLite and PostgreSQL.

Terms are two-valued: an image that lacks the value does not meet the term, and meets its negation.
Text is compared folded (`folding.fold`), as it was stored.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    and_,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from likeness.catalog.folding import fold
from likeness.catalog.geography import EARTH_RADIUS_M, box, without_dust
from likeness.catalog.rows import as_number
from likeness.catalog.schema import FieldRow, ImageTable, TagRow
from likeness.catalog.where.moment import Moment
from likeness.catalog.where.tree import (
    FIELD_NAMES,
    And,
    Between,
    ColumnTerm,
    Compare,
    HasTerm,
    NearTerm,
    Node,
    Not,
    NumberTerm,
    Op,
    Or,
    Pattern,
    TextTerm,
    TimeTerm,
    Where,
    Wildcard,
)
from likeness.errors import WhereError

Condition = ColumnElement[bool]

FORMAT_ALIASES = {"jpg": "jpeg", "tif": "tiff", "heic": "heif"}


def compile_where(where: Where, *, columns: Collection[str], dialect: str) -> Condition:
    """Return the condition. columns: the collection's list columns. dialect: of the engine.

    Raises WhereError for a field that is neither known nor such a column.
    """
    return _Compiler(where, frozenset(columns), dialect).node(where.root)


class _Compiler:
    def __init__(self, where: Where, columns: frozenset[str], dialect: str) -> None:
        self._where, self._columns, self._dialect = where, columns, dialect

    def node(self, node: Node) -> Condition:
        match node:
            case And(terms):
                return and_(*(self.node(term) for term in terms))
            case Or(terms):
                return or_(*(self.node(term) for term in terms))
            case Not(term):
                return not_(self.node(term))
            case NumberTerm(name, bounds):
                return _number(name, bounds)
            case TimeTerm(name, bounds):
                return _time(name, bounds)
            case TextTerm(name, pattern):
                return _text(name, pattern)
            case NearTerm():
                return self._near(node)
            case HasTerm(what):
                return _has(what)
            case ColumnTerm():
                return self._column(node)

    def _column(self, term: ColumnTerm) -> Condition:
        if term.name not in self._columns:
            raise self._unknown(term)
        f = FieldRow
        match term.test:
            case Pattern() as pattern:
                condition = _matches(f.text_folded, pattern)
                number = None if pattern.literal is None else as_number(pattern.literal)
                if number is not None:
                    condition = or_(condition, f.number == number)
            case Compare(op, value):
                number = as_number(value)
                condition = (
                    _COMPARE[op](f.text_folded, fold(value))
                    if number is None
                    else _COMPARE[op](f.number, number)
                )
            case Between(low, high):
                ends = [end for end in (low, high) if end is not None]
                numbers = [as_number(end) for end in ends]
                if all(number is not None for number in numbers):
                    condition = _between(
                        f.number,
                        None if low is None else as_number(low),
                        None if high is None else as_number(high),
                    )
                else:
                    condition = _between(
                        f.text_folded,
                        None if low is None else fold(low),
                        None if high is None else fold(high),
                    )
        return (
            select(f.image_id)
            .where(f.image_id == ImageTable.id, f.name == term.name, condition)
            .exists()
        )

    def _unknown(self, term: ColumnTerm) -> WhereError:
        known = [*FIELD_NAMES, *sorted(self._columns)]
        similar = difflib.get_close_matches(term.name, known, n=1)
        hint = f"; did you mean {similar[0]}?" if similar else ""
        listed = ", ".join(sorted(self._columns)) or "none"
        return WhereError(
            self._where.text or str(self._where),
            term.position,
            f"there is no field {term.name!r}{hint} Fields: {', '.join(FIELD_NAMES)}; list "
            f"columns of this collection: {listed}",
        )

    def _near(self, term: NearTerm) -> Condition:
        t = ImageTable
        south, north, spans = box(term.latitude, term.longitude, term.radius_m)
        in_span = or_(*(t.longitude.between(west, east) for west, east in spans))
        return and_(
            t.latitude.is_not(None),
            t.longitude.is_not(None),
            t.latitude.between(south, north),
            in_span,
            self._distance_m(term.latitude, term.longitude) <= term.radius_m,
        )

    def _distance_m(self, latitude: float, longitude: float) -> ColumnElement[float]:
        t = ImageTable
        if self._dialect == "sqlite":
            return func.likeness_distance_m(
                t.latitude, t.longitude, latitude, longitude, type_=Double
            )
        phi1, phi2 = (
            func.radians(t.latitude),
            literal(math.radians(without_dust(latitude)), Double),
        )
        dlambda = literal(math.radians(without_dust(longitude)), Double) - func.radians(t.longitude)
        h = func.power(func.sin((phi2 - phi1) / 2), 2) + func.cos(phi1) * func.cos(
            phi2
        ) * func.power(func.sin(dlambda / 2), 2)
        return 2 * EARTH_RADIUS_M * func.asin(func.sqrt(func.least(literal(1.0, Double), h)))


_COMPARE: dict[Op, Callable[[Any, Any], Condition]] = {
    Op.EQUAL: lambda column, value: column == value,
    Op.AT_LEAST: lambda column, value: column >= value,
    Op.MORE: lambda column, value: column > value,
    Op.AT_MOST: lambda column, value: column <= value,
    Op.LESS: lambda column, value: column < value,
}


def _number(name: str, bounds: Compare[int] | Between[int]) -> Condition:
    t = ImageTable
    columns: dict[str, ColumnElement[Any]] = {
        "width": t.width.expression,
        "height": t.height.expression,
        "pixels": cast(t.width, BigInteger) * t.height,  # PostgreSQL would multiply in 32 bits
        "size": t.size.expression,
        "id": t.id.expression,
    }
    column = columns[name]
    match bounds:
        case Compare(op, value):
            condition = _COMPARE[op](column, _wide(value))
        case Between(low, high):
            condition = _between(
                column,
                None if low is None else _wide(low),
                None if high is None else _wide(high),
            )
    return and_(column.is_not(None), condition)


def _wide(value: int) -> ColumnElement[int]:
    return literal(value, BigInteger)


def _time(name: str, bounds: Compare[Moment] | Between[Moment]) -> Condition:
    column: Any = ImageTable.taken_at if name == "taken" else ImageTable.added_at
    aware = name == "added"
    low: datetime | None
    high: datetime | None
    match bounds:
        case Compare(Op.EQUAL, moment):
            low, high = moment.start(), moment.end()
        case Compare(Op.AT_LEAST, moment):
            low, high = moment.start(), None
        case Compare(Op.MORE, moment):
            low, high = moment.end(), None
            if low is None:
                return false()
        case Compare(Op.AT_MOST, moment):
            low, high = None, moment.end()
        case Compare(Op.LESS, moment):
            low, high = None, moment.start()
        case Between(first, last):
            low = None if first is None else first.start()
            high = None if last is None else last.end()
    conditions: list[Condition] = [column.is_not(None)]
    if low is not None:
        conditions.append(column >= _zoned(low, aware=aware))
    if high is not None:
        conditions.append(column < _zoned(high, aware=aware))
    return and_(*conditions)


def _zoned(moment: datetime, *, aware: bool) -> datetime:
    return moment.replace(tzinfo=UTC) if aware else moment


def _text(name: str, pattern: Pattern) -> Condition:
    t = ImageTable
    match name:
        case "tag":
            tagged = select(TagRow.image_id).where(
                TagRow.image_id == t.id, _matches(TagRow.tag_folded, pattern)
            )
            return tagged.exists()
        case "path":
            whole = _matches(t.path_folded, pattern)
            if pattern.pieces[:1] == (Wildcard.ANY,) or _starts_at_root(pattern):
                return whole
            below = Pattern((Wildcard.ANY, *_joined("/", pattern.pieces)))
            return or_(whole, _matches(t.path_folded, below))
        case "camera":
            return or_(
                *(
                    and_(column.is_not(None), _matches(column, pattern))
                    for column in (t.camera_folded, t.model_folded, t.make_folded)
                )
            )
        case "lens":
            return and_(t.lens_folded.is_not(None), _matches(t.lens_folded, pattern))
    literal_text = pattern.literal
    if literal_text is not None:
        alias = FORMAT_ALIASES.get(fold(literal_text), literal_text)
        pattern = Pattern((alias,) if alias else ())
    return and_(t.format.is_not(None), _matches(t.format, pattern))


def _starts_at_root(pattern: Pattern) -> bool:
    first = pattern.pieces[0] if pattern.pieces else ""
    return isinstance(first, str) and first.startswith("/")


def _joined(prefix: str, pieces: tuple[str | Wildcard, ...]) -> tuple[str | Wildcard, ...]:
    if pieces and isinstance(pieces[0], str):
        return (prefix + pieces[0], *pieces[1:])
    return (prefix, *pieces)


def _matches(column: Any, pattern: Pattern) -> Condition:
    """The whole of a folded column meets the pattern."""
    if (text := pattern.literal) is not None:
        return _condition(column == fold(text))
    like = "".join(
        re.sub(r"([\\%_])", r"\\\1", fold(piece))
        if isinstance(piece, str)
        else {Wildcard.ANY: "%", Wildcard.ONE: "_"}[piece]
        for piece in pattern.pieces
    )
    return _condition(column.like(like, escape="\\"))


def _condition(expression: Any) -> Condition:
    typed: Condition = expression
    return typed


def _between(column: Any, low: Any, high: Any) -> Condition:
    conditions: list[Condition] = []
    if low is not None:
        conditions.append(column >= low)
    if high is not None:
        conditions.append(column <= high)
    return and_(true(), *conditions)


def _has(what: str) -> Condition:
    t = ImageTable
    match what:
        case "gps":
            return and_(t.latitude.is_not(None), t.longitude.is_not(None))
        case "taken":
            return t.taken_at.is_not(None)
    return select(TagRow.image_id).where(TagRow.image_id == t.id).exists()
