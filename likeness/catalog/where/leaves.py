"""One term: which field, and what its value has to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from likeness.catalog.where.moment import Moment
from likeness.catalog.where.tree import (
    FIELD_NAMES,
    HAS_VALUES,
    NUMBER_FIELDS,
    TEXT_FIELDS,
    TIME_FIELDS,
    Between,
    ColumnTerm,
    Compare,
    HasTerm,
    Leaf,
    NumberTerm,
    Op,
    TextTerm,
    TimeTerm,
    V,
)
from likeness.catalog.where.values import Value


def leaf(name: str, op: Op, value: Value, position: int, *, is_column: bool) -> Leaf:
    """Return the term. is_column: it can only be a list column, whatever its name.

    Raises WhereError for a value that the field cannot have.
    """
    if is_column or name not in FIELD_NAMES:
        if op is Op.EQUAL and value.split_range() is None:
            return ColumnTerm(name, value.pattern(), position)
        return ColumnTerm(name, _bounds(op, value, Value.operand), position)
    if name in TIME_FIELDS:
        return TimeTerm(name, _times(op, value), position)
    if name in NUMBER_FIELDS:
        return NumberTerm(name, _numbers(name, op, value), position)
    if op is not Op.EQUAL:
        raise value.error(f"{name} cannot be compared; write {name}:value", position + len(name))
    if name in TEXT_FIELDS:
        return TextTerm(name, value.pattern(), position)
    if name == "near":
        return value.near(position)
    if value.spelt not in HAS_VALUES:
        raise value.error(f"has is one of {', '.join(f'has:{what}' for what in HAS_VALUES)}")
    return HasTerm(value.spelt, position)


def _bounds(op: Op, value: Value, read: Callable[[Value], V]) -> Compare[V] | Between[V]:
    span = value.split_range() if op is Op.EQUAL else None
    if span is None:
        return Compare(op, read(value))
    low, high = (read(end) if end.chars else None for end in span)
    if low is None and high is None:
        raise value.error("a range has at least one end, as 10.. or ..20 or 10..20")
    return Between(low, high)


def _times(op: Op, value: Value) -> Compare[Moment] | Between[Moment]:
    bounds = _bounds(op, value, Value.moment)
    match bounds:
        case Between(Moment() as low, Moment() as high):
            end = high.end()
            if end is not None and low.start() >= end:
                raise value.error(f"the range runs backwards; write {high}..{low}")
    return bounds


def _numbers(name: str, op: Op, value: Value) -> Compare[int] | Between[int]:
    bounds = _bounds(op, value, partial(Value.whole_number, field=name))
    match bounds:
        case Between(int(low), int(high)) if low > high:
            raise value.error(f"the range runs backwards; write {high}..{low}")
    return bounds
