"""The filter language: what parses, to what, and how errors point at their cause."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likeness.catalog.where import Where, parse_where
from likeness.catalog.where.moment import Moment
from likeness.catalog.where.parse import MAX_TERMS
from likeness.catalog.where.tree import FIELD_NAMES
from likeness.errors import WhereError
from tests.fakes.filters import wheres

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "where.md"


@given(where=wheres)
def test_a_filter_prints_as_one_that_parses_to_itself(where: Where) -> None:
    assert parse_where(str(where)) == where


@given(text=st.text(alphabet='abt:<>=()"\\*?.,-+019 OR\n', max_size=30) | st.text(max_size=30))
def test_any_text_parses_or_is_an_error_within_it(text: str) -> None:
    position = 0
    try:
        where = parse_where(text)
    except WhereError as error:
        position = error.position
    else:
        assert parse_where(str(where)) == where
    assert 0 <= position <= len(text)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("  tag:a   tag:b ", "tag:a tag:b"),
        ("tag:a AND tag:b", "tag:a tag:b"),
        ("tag:a tag:b OR tag:c", "tag:a tag:b OR tag:c"),
        ("(tag:a OR tag:b) tag:c", "(tag:a OR tag:b) tag:c"),
        ("((tag:a))", "tag:a"),
        ("(tag:a OR tag:b) OR tag:c", "tag:a OR tag:b OR tag:c"),
        ("tag:a (tag:b tag:c)", "tag:a tag:b tag:c"),
        ("NOT tag:a", "-tag:a"),
        ("-(tag:a tag:b)", "-(tag:a tag:b)"),
        ("NOT (NOT tag:a)", "-(-tag:a)"),
        ("width>=5", "width:>=5"),
        ("width:<5", "width:<5"),
        ("size:1.5K", "size:1536"),
        ("size:2MB..1g", "size:2097152..1073741824"),
        ("pixels:>12MP", "pixels:>12000000"),
        ("taken:>=2019-06-01T12:30", "taken:>=2019-06-01T12:30"),
        ("near:48.2,-16,1.5km", "near:48.2,-16.0,1500.0m"),
        ('camera:"Pixel 3*"', 'camera:"Pixel 3*"'),
        ("path:a\\*b", 'path:"a\\*b"'),
        ("path:a\\ b", 'path:"a b"'),
        (r"path:C:\Users\\me", r'path:"C:\\Users\\me"'),
        ('path:"".jpg', "path:.jpg"),
        ("path:a..b", 'path:"a..b"'),
        ('camera:""', 'camera:""'),
        ("price:1..2", "price:1..2"),
        ('price:"1..2"', 'price:"1..2"'),
        ("label:>c", "label:>c"),
        ("meta.width:5", "meta.width:5"),
        ("meta.label:5", "label:5"),
        ('"my column":x', '"my column":x'),
        ("größe:5", "größe:5"),
        ("ORder:5", "ORder:5"),
    ],
)
def test_filters_have_a_canonical_form(written: str, canonical: str) -> None:
    assert str(parse_where(written)) == canonical
    assert str(parse_where(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "the filter is empty"),
        ("   ", 3, "the filter is empty"),
        ("bicycle", 0, r"not of the form field:value; .* path:\*bicycle\*"),
        ("tag:a bicycle", 6, "not of the form"),
        ("width=5", 5, "write width:… instead of width=…"),
        ("tag:a or tag:b", 6, "write OR in capitals"),
        ("tag:a OR", 8, "a term field:value is missing"),
        ("OR tag:a", 0, "a term field:value is missing"),
        ("tag:a AND OR tag:b", 10, "a term field:value is missing"),
        ("-", 1, "a term field:value is missing"),
        ("--tag:a", 1, "write one minus"),
        ("(tag:a", 0, "never closed"),
        ("tag:a)", 5, r"no \( for this \)"),
        ("()", 1, "nothing between"),
        ("tag:", 4, "a value is missing"),
        ("tag: a", 4, "a value is missing"),
        (":a", 0, "name is missing"),
        ('tag:"a', 4, "quote is never closed"),
        ('""tag:a', 0, "name is missing"),
        ("path:*(1).jpg", 6, "in quotes"),
        ("taken:yesterday", 6, "is not a time"),
        ("taken:2019-13", 6, "month must be in 1..12"),
        ("taken:2019-02-30", 6, "day"),
        ("taken:0000", 6, "is not a time"),
        ("taken:2019-00", 6, "is not a time"),
        ("taken:2021..2019", 6, "runs backwards; write 2019..2021"),
        ("taken:2019..x", 12, "'x' is not a time"),
        ("width:..", 6, "at least one end"),
        ("width:wide", 6, "is not a number"),
        ("width:-5", 6, "is not a number"),
        ("width:1.5", 6, "whole number"),
        ("width:5K", 7, "unknown unit 'K': width has no units"),
        ("size:5X", 6, "size is written with K, M or G"),
        ("width:5..3", 6, "runs backwards; write 3..5"),
        ("id:99999999999999999999", 3, "too large"),
        ("camera:>a", 6, "camera cannot be compared"),
        ("near:48,16", 5, "near:LATITUDE,LONGITUDE,RADIUS"),
        ("near:91,16,5km", 5, "a latitude lies between -90 and 90"),
        ("near:48,181,5km", 8, "a longitude lies between"),
        ("near:48,16,5", 11, "is not a radius"),
        ("near:48,x,5km", 8, "is not a longitude"),
        ("has:wings", 4, "has:gps, has:taken, has:tags"),
        ("label:a*..b", 7, "no wildcards"),
        ("tag:a\0", 5, "cannot contain"),
        ("tag:a tag:\ud800", 10, "cannot contain"),
        (" ".join(["tag:a"] * (MAX_TERMS + 1)), None, "more than 200 terms"),
        ("(" * 60 + "tag:a" + ")" * 60, 51, "nested more than 50 deep"),
        ("tag:" + "a" * 10_000, 60, "limit 10000"),
    ],
)
def test_errors_point_at_the_character(text: str, position: int | None, reason: str) -> None:
    with pytest.raises(WhereError, match=reason) as caught:
        parse_where(text)
    assert position in (None, caught.value.position)


def test_an_error_shows_where_it_is() -> None:
    with pytest.raises(WhereError) as caught:
        parse_where("camera:*Pixel* taken:2021..2019")
    assert str(caught.value).splitlines() == [
        "the range runs backwards; write 2019..2021",
        "  camera:*Pixel* taken:2021..2019",
        "                       ^",
    ]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2019", (2019, 1, 1), (2020, 1, 1)),
        ("2019-12", (2019, 12, 1), (2020, 1, 1)),
        ("2020-02", (2020, 2, 1), (2020, 3, 1)),
        ("2020-02-29", (2020, 2, 29), (2020, 3, 1)),
        ("2019-06-01T23", (2019, 6, 1, 23), (2019, 6, 2)),
        ("2019-06-01T12:59", (2019, 6, 1, 12, 59), (2019, 6, 1, 13)),
        ("2019-06-01T12:59:59", (2019, 6, 1, 12, 59, 59), (2019, 6, 1, 13)),
        ("9999", (9999, 1, 1), None),
        ("9999-12", (9999, 12, 1), None),
        ("9999-12-31", (9999, 12, 31), None),
        ("9999-12-31T23:59:59", (9999, 12, 31, 23, 59, 59), None),
    ],
)
def test_a_time_is_the_whole_period_that_it_names(
    text: str, start: tuple[int, int, int], end: tuple[int, int, int] | None
) -> None:
    moment = Moment.parse(text)
    assert moment.start() == datetime(*start)
    assert moment.end() == (None if end is None else datetime(*end))
    assert str(moment) == text


def test_every_example_of_the_reference_parses() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    blocks = re.findall(r"```where\n(.*?)```", text, re.DOTALL)
    examples = [line for block in blocks for line in block.splitlines() if line.strip()]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    spans = re.findall(r"`([^`]+)`", prose)
    examples += [span for span in spans if re.match(r'[-(]?[\w."]+[:<>]=?[^ ]', span)]
    assert len(examples) > 60
    for example in examples:
        if example != "FIELD:VALUE":
            parse_where(example)


def test_the_reference_has_every_field() -> None:
    table = REFERENCE.read_text(encoding="utf-8").split("## Fields")[1].split("## ")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    assert named == set(FIELD_NAMES)


def test_the_error_of_the_reference_is_the_real_one() -> None:
    shown = REFERENCE.read_text(encoding="utf-8").split("## Errors")[1].split("```")[1]
    with pytest.raises(WhereError) as caught:
        parse_where("camera:*Pixel* taken:2021..2019")
    assert str(caught.value) == shown.strip("\n")
