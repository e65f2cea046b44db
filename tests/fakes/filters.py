"""Random filters, and what they mean: a plain evaluation to compare the SQL with."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from likeness.catalog.folding import fold
from likeness.catalog.geography import distance_m
from likeness.catalog.records import ImageRow
from likeness.catalog.rows import as_number, camera_name
from likeness.catalog.where.moment import Moment
from likeness.catalog.where.tree import (
    HAS_VALUES,
    NUMBER_FIELDS,
    TEXT_FIELDS,
    TIME_FIELDS,
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
    both,
    either,
)

WORDS = [
    "a",
    "B",
    "ab",
    "ÜBER",
    "über",
    "u\u0308ber",
    "ß",
    "SS",
    "10",
    "9.5",
    "x_y",
    "50%",
    "c.jpg",
]
PATHS = ["/p/a.jpg", "/P/Ab/c.jpg", "/p/ÜBER/x_y.png", "/q/100% (1).jpg", "/q/a\\b*?.gif", "/p/ab"]
CAMERAS = [("Google", "Pixel 3"), ("Canon", "Canon EOS 5D"), (None, "über"), ("SS", None)]
COLUMNS = ["label", "price", "width", "odd name", "meta.x"]
COLUMN_VALUES: list[str | float] = [*WORDS, 10.0, 9.5, -1.0, 1e20, "2019-06-01", "2019-07", ""]
TIMES = [
    datetime(2018, 12, 31, 23, 59, 59),
    datetime(2019, 1, 1),
    datetime(2019, 6, 1, 12, 30),
    datetime(2019, 6, 1, 12, 30, 59, 999999),
    datetime(2020, 2, 29, 8),
    datetime(9999, 12, 31, 23, 59, 59),
]
NUMBERS = [0, 1, 5, 100, 480, 640, 307_200, 2**31, 2**40]
PLACES = [(48.2, 16.4), (0.0, 180.0), (-16.5, -179.9), (90.0, 0.0), (-89.9, 12.0), (48.2, 16.5)]


# --------------------------------------------------------------------------- random filters


def _pattern(pieces: list[str | Wildcard]) -> Pattern:
    merged: list[str | Wildcard] = []
    for piece in pieces:
        if merged and isinstance(piece, str) and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece:
            merged.append(piece)
    return Pattern(tuple(merged))


_text = st.text(alphabet='abAB ßÜü\u0308%_*?\\"().:-<>=,', max_size=4) | st.sampled_from(WORDS)
patterns = st.lists(st.sampled_from(list(Wildcard)) | _text, max_size=4).map(_pattern) | (
    st.sampled_from(WORDS + PATHS).map(lambda word: _pattern([word]))
)
_near_paths = st.sampled_from(PATHS).flatmap(
    lambda path: st.tuples(st.integers(0, len(path)), st.integers(0, len(path))).map(
        lambda cut: _pattern([path[min(cut) : max(cut)], Wildcard.ANY])
    )
)


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    time = draw(st.sampled_from(TIMES))
    parts = (time.year, time.month, time.day, time.hour, time.minute, time.second)
    return Moment(*parts[: draw(st.integers(1, 6))])


def _bounds(values: st.SearchStrategy[Any], key: Callable[[Any], Any]) -> st.SearchStrategy[Any]:
    ordered = st.tuples(values, values).map(lambda pair: sorted(pair, key=key))
    return (
        st.builds(Compare, st.sampled_from([op for op in Op if op is not Op.EQUAL]), values)
        | ordered.map(lambda pair: Between(*pair))
        | st.builds(Between, values, st.none())
        | st.builds(Between, st.none(), values)
    )


_operands = st.sampled_from([str(value) for value in COLUMN_VALUES if value != ""]) | _text.filter(
    bool
)
_numbers = st.sampled_from(NUMBERS)
leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(
        NumberTerm,
        st.sampled_from(NUMBER_FIELDS),
        _bounds(_numbers, int) | st.builds(Compare, st.just(Op.EQUAL), _numbers),
    ),
    st.builds(
        TimeTerm,
        st.sampled_from(TIME_FIELDS),
        _bounds(moments(), Moment.start) | st.builds(Compare, st.just(Op.EQUAL), moments()),
    ),
    st.builds(TextTerm, st.sampled_from(TEXT_FIELDS), patterns | _near_paths),
    st.builds(
        lambda place, radius: NearTerm(*place, radius),
        st.sampled_from(PLACES),
        st.sampled_from([0.0, 1.0, 7500.0, 20_000.0, 3e6, 1.2e7, 1e8]),
    ),
    st.builds(HasTerm, st.sampled_from(HAS_VALUES)),
    st.builds(ColumnTerm, st.sampled_from(COLUMNS), patterns | _bounds(_operands, str)),
)
wheres: st.SearchStrategy[Where] = st.recursive(
    leaves,
    lambda nodes: (
        nodes.map(Not)
        | st.lists(nodes, min_size=2, max_size=3).map(both)
        | st.lists(nodes, min_size=2, max_size=3).map(either)
    ),
    max_leaves=6,
).map(Where)


# --------------------------------------------------------------------------- what they mean


def meets(node: Node, row: ImageRow) -> bool:
    """Whether an image meets a filter, written as plainly as the reference says it."""
    facts = row.facts
    assert facts is not None
    match node:
        case And(terms):
            return all(meets(term, row) for term in terms)
        case Or(terms):
            return any(meets(term, row) for term in terms)
        case Not(term):
            return not meets(term, row)
        case NumberTerm(name, bounds):
            values = {
                "width": facts.width,
                "height": facts.height,
                "pixels": facts.width * facts.height,
                "size": row.size,
                "id": row.id,
            }
            return within(values[name], bounds)
        case TimeTerm(name, bounds):
            time = facts.taken_at if name == "taken" else row.added_at.replace(tzinfo=None)
            return time is not None and in_period(time, bounds)
        case TextTerm(name, pattern):
            return any(fits(text, pattern) for text in texts(name, row, pattern))
        case NearTerm(latitude, longitude, radius_m):
            distance = distance_m(facts.latitude, facts.longitude, latitude, longitude)
            return distance is not None and distance <= radius_m
        case HasTerm("gps"):
            return facts.latitude is not None
        case HasTerm("taken"):
            return facts.taken_at is not None
        case HasTerm():
            return bool(row.tags)
        case ColumnTerm(name, test):
            return name in row.fields and column_meets(row.fields[name], test)
    raise AssertionError(node)


def texts(name: str, row: ImageRow, pattern: Pattern) -> list[str]:
    facts = row.facts
    assert facts is not None
    make, model = facts.camera_make, facts.camera_model
    everything = {
        "camera": [make, model, camera_name(make, model)],
        "lens": [facts.lens],
        "format": [facts.format],
        "tag": list(row.tags),
        "path": [row.path, *(row.path[i + 1 :] for i, c in enumerate(row.path) if c == "/")],
    }
    aliases = {"jpg": "jpeg", "tif": "tiff", "heic": "heif"}
    if name == "format" and aliases.get((pattern.literal or "").lower()) == facts.format:
        return [pattern.literal or ""]
    return [text for text in everything[name] if text is not None]


def fits(text: str, pattern: Pattern) -> bool:
    expression = "".join(
        re.escape(fold(piece))
        if isinstance(piece, str)
        else {Wildcard.ANY: ".*", Wildcard.ONE: "."}[piece]
        for piece in pattern.pieces
    )
    return re.fullmatch(expression, fold(text), re.DOTALL) is not None


def within(value: Any, bounds: Compare[Any] | Between[Any]) -> bool:
    if value is None:
        return False
    match bounds:
        case Between(low, high):
            return (low is None or value >= low) and (high is None or value <= high)
        case Compare(op, other):
            return bool(
                {
                    Op.EQUAL: value == other,
                    Op.AT_LEAST: value >= other,
                    Op.MORE: value > other,
                    Op.AT_MOST: value <= other,
                    Op.LESS: value < other,
                }[op]
            )


def in_period(time: datetime, bounds: Compare[Moment] | Between[Moment]) -> bool:
    def before_end(moment: Moment) -> bool:
        end = moment.end()
        return end is None or time < end

    match bounds:
        case Between(low, high):
            return (low is None or time >= low.start()) and (high is None or before_end(high))
        case Compare(op, moment):
            return {
                Op.EQUAL: time >= moment.start() and before_end(moment),
                Op.AT_LEAST: time >= moment.start(),
                Op.MORE: not before_end(moment),
                Op.AT_MOST: before_end(moment),
                Op.LESS: time < moment.start(),
            }[op]


def column_meets(value: str | float, test: Pattern | Compare[str] | Between[str]) -> bool:
    text = f"{value:.17g}" if isinstance(value, float) else value
    number = value if isinstance(value, float) else as_number(value)
    if isinstance(test, Pattern):
        wanted = None if test.literal is None else as_number(test.literal)
        return fits(text, test) or (wanted is not None and number == wanted)
    ends = [test.value] if isinstance(test, Compare) else [test.low, test.high]
    numbers = [None if end is None else as_number(end) for end in ends]
    numeric = all((end is None) == (n is None) for end, n in zip(ends, numbers, strict=True))
    compared: Any = number if numeric else fold(text)
    converted: list[Any] = numbers if numeric else [None if e is None else fold(e) for e in ends]
    if isinstance(test, Compare):
        return within(compared, Compare(test.op, converted[0]))
    return within(compared, Between(*converted))
