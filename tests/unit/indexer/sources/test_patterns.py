from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.sources.patterns import Selection
from likeness.errors import InputError


@pytest.mark.parametrize(
    ("pattern", "path", "taken"),
    [
        ("*.jpg", "a.jpg", True),
        ("*.jpg", "deep/down/IMG_1.JPG", True),
        ("*.jpg", "a.jpeg", False),
        ("*.jp*g", "x/a.jpeg", True),
        ("raw", "raw/a.png", True),
        ("raw", "2019/raw/b/a.png", True),
        ("raw", "2019/rawer/a.png", False),
        ("raw/", "raw/a.png", True),
        ("raw/", "x/raw", False),
        ("/raw", "raw/a.png", True),
        ("/raw", "x/raw/a.png", False),
        ("raw/**", "raw/x/y/a.png", True),
        ("raw/**", "x/raw/a.png", False),
        ("**/raw/*.png", "x/y/raw/a.png", True),
        ("**/raw/*.png", "raw/a.png", True),
        ("**/raw/*.png", "raw/deeper/a.png", False),
        ("2019/*.png", "2019/a.png", True),
        ("2019/*.png", "2019/x/a.png", False),
        ("2019/**/a.png", "2019/a.png", True),
        ("2019/**/a.png", "2019/x/y/a.png", True),
        ("IMG_?.jpg", "IMG_7.jpg", True),
        ("IMG_?.jpg", "IMG_77.jpg", False),
        ("IMG_[0-3].jpg", "IMG_2.jpg", True),
        ("IMG_[!0-3].jpg", "IMG_2.jpg", False),
        ("a+b(1).png", "a+b(1).png", True),
        ("[oops.png", "[oops.png", True),
        ("*.jpg", "new\nline.jpg", True),
    ],
)
def test_patterns_match_as_in_gitignore_ignoring_case(pattern: str, path: str, taken: bool) -> None:
    assert Selection.of([pattern]).takes_member(path) is taken
    assert Selection.of(["*"], [pattern]).takes_member(path) is not taken


def test_excluding_beats_including() -> None:
    chosen = Selection.of(["*.jpg"], ["private"])
    assert chosen.takes_member("a.jpg")
    assert not chosen.takes_member("private/a.jpg")
    assert not chosen.enters("private")


def test_hidden_files_and_system_folders_are_left_out_unless_asked_for() -> None:
    for path in (".a.jpg", ".cache/a.jpg", "__MACOSX/a.jpg", "@eaDir/a.jpg", "._a.jpg"):
        assert not Selection.of().takes_member(path)
        assert Selection.of(hidden=True).takes_member(path)


def test_without_patterns_other_kinds_of_files_are_passed_over() -> None:
    assert not Selection.of().takes_member("notes.txt")
    assert not Selection.of().takes_member("film.MP4")
    assert Selection.of().takes_member("no_extension")
    assert Selection.of().takes_member("picture.webp")
    assert Selection.of(["notes.*"]).takes_member("notes.txt")


@pytest.mark.parametrize("pattern", ["", "  ", "/", "[z-a].jpg"])
def test_a_pattern_that_makes_no_sense_is_an_error(pattern: str) -> None:
    with pytest.raises(InputError, match="pattern"):
        Selection.of([pattern])


@given(st.text(min_size=1, max_size=30))
def test_any_text_is_a_pattern_or_a_clear_error(pattern: str) -> None:
    with contextlib.suppress(InputError):
        Selection.of([pattern]).takes_member("a/b.jpg")
