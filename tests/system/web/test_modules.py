"""Pieces of the page that compute, called by themselves: layout, words, filters, formats."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

_CALL = """async ([path, name, given]) => {
  const src = document.querySelector("script[type=module]").src;
  const module = await import(new URL(`../${path}.js`, src));
  return module[name](...given);
}"""


@pytest.fixture
def call(at: Callable[[str], Page]) -> Callable[..., Any]:
    """call("core/grid", "justify", …) is what that function of that module returns."""
    page = at("/")
    return lambda path, name, *given: page.evaluate(_CALL, [path, name, list(given)])


def test_rows_are_filled_to_the_edge_in_order_without_overlap(call: Callable[..., Any]) -> None:
    random_ = random.Random(5)
    for width in (320, 375, 777, 1232, 2500):
        sizes = [
            {"width": random_.choice([1, 60, 4000, 300, 640]), "height": random_.randint(1, 3000)}
            for _ in range(random_.choice([1, 2, 7, 60]))
        ]
        done = call("core/grid", "justify", sizes, width, 200)
        boxes = done["boxes"]
        assert len(boxes) == len(sizes)
        rows: dict[int, list[dict[str, float]]] = {}
        for box in boxes:
            rows.setdefault(box["top"], []).append(box)
        tops = list(rows)
        assert tops == sorted(tops)
        for number, (top, row) in enumerate(rows.items()):
            assert row[0]["left"] == 0
            assert len({box["height"] for box in row}) == 1
            for one, other in itertools.pairwise(row):
                assert other["left"] == one["left"] + one["width"] + 6
            right = row[-1]["left"] + row[-1]["width"]
            if number < len(rows) - 1:
                assert right == width
                assert tops[number + 1] == top + row[0]["height"] + 6
                assert 80 < row[0]["height"] < 450
            else:
                assert right <= width
                assert done["height"] == top + row[0]["height"]


def test_images_of_unknown_size_are_square_and_none_is_no_problem(
    call: Callable[..., Any],
) -> None:
    unknown = [{"width": None, "height": None}]
    assert call("core/grid", "justify", unknown, 1000, 200)["boxes"] == [
        {"left": 0, "top": 0, "width": 200, "height": 200}
    ]
    assert call("core/grid", "justify", [], 1000, 200) == {"boxes": [], "height": 0}


@pytest.mark.parametrize(
    ("words", "text", "less"),
    [
        ("night -people", "night", ["people"]),
        ('-"red car" a street', "a street", ["red car"]),
        ("t-shirt - 2019-06 -5", "t-shirt - 2019-06 -5", []),
        ("-été  naïve", "naïve", ["été"]),
        ('-" unclosed', '-" unclosed', []),
        ("", "", []),
    ],
)
def test_words_with_a_minus_are_told_from_hyphens(
    call: Callable[..., Any], words: str, text: str, less: list[str]
) -> None:
    assert call("search/question", "parseWords", words) == {"text": text, "not": less}


def test_filters_of_one_kind_are_alternatives_and_kinds_are_joined(
    call: Callable[..., Any],
) -> None:
    question = {
        "facets": {
            "taken": ["taken:2019", "taken:2020"],
            "size": ["pixels:>=1MP pixels:<4MP", "pixels:<1MP"],
            "camera": ['camera:"A B"'],
            "tag": [],
        },
        "where": "width:1 OR width:2",
    }
    assert call("search/question", "whereOf", question) == (
        "(taken:2019 OR taken:2020) ((pixels:>=1MP pixels:<4MP) OR pixels:<1MP) "
        'camera:"A B" (width:1 OR width:2)'
    )
    assert call("search/question", "whereOf", {"facets": {}, "where": " "}) is None
    assert call("search/question", "whereOf", {"facets": {}, "where": "a:1 OR b:2"}) == (
        "a:1 OR b:2"
    )


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("bytes", 0, "0 B"),
        ("bytes", 1536, "1.5 KB"),
        ("bytes", 5_000_000_000, "4.7 GB"),
        ("duration", 0.44, "0.4 ms"),
        ("duration", 12.6, "13 ms"),
        ("duration", 2340, "2.3 s"),
        ("odds", 0.0004, "1 in 2,500"),
        ("odds", 0.84, "84 %"),
        ("odds", 0, "less than 1 in a billion"),
        ("fileName", "/a/b c.jpg", "b c.jpg"),
        ("folderName", "/a/b c.jpg", "/a/"),
        ("fileName", "C:\\photos\\x.jpg", "x.jpg"),
    ],
)
def test_numbers_and_paths_are_shown_for_people(
    call: Callable[..., Any], name: str, given: object, shown: str
) -> None:
    assert call("core/format", name, given) == shown
