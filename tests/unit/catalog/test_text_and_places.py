"""Folding of text, and distances on the globe."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likeness.catalog.folding import clean, fold
from likeness.catalog.geography import box, distance_m
from likeness.catalog.rows import as_number, camera_name


@pytest.mark.parametrize(
    ("one", "other"),
    [("ÜBER", "u\u0308ber"), ("Straße", "STRASSE"), ("É", "e\u0301"), ("ABC", "abc"), ("Å", "Å")],
)
def test_case_and_composition_make_no_difference(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(text=st.text(max_size=10))
def test_ascii_is_folded_as_the_rest(text: str) -> None:
    assert fold(text + "\u00fc") == fold(text.swapcase().swapcase() + "u\u0308")


@given(text=st.text(alphabet=st.characters(codec=None), max_size=10))
def test_cleaned_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned.encode().decode()
    assert len(cleaned) == len(text)
    assert clean(cleaned) == cleaned


def test_known_distances() -> None:
    vienna, graz = (48.2082, 16.3738), (47.0707, 15.4395)
    assert distance_m(*vienna, *graz) == pytest.approx(145_000, rel=0.01)
    assert distance_m(0, 0, 0, 180) == pytest.approx(math.pi * 6_371_008.8)
    assert distance_m(0, 179.9, 0, -179.9) == pytest.approx(22_239, rel=0.001)
    assert distance_m(None, 0, 0, 0) is None


places = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(centre=places, place=places, radius_m=st.floats(0, 2.1e7))
def test_the_box_holds_every_place_within_the_radius(
    centre: tuple[float, float], place: tuple[float, float], radius_m: float
) -> None:
    south, north, spans = box(*centre, radius_m)
    distance = distance_m(*centre, *place)
    assert distance is not None
    if distance <= radius_m:
        assert south <= place[0] <= north
        assert any(west <= place[1] <= east for west, east in spans)


@given(
    centre=places,
    bearing=st.floats(0, 2 * math.pi),
    radius_m=st.floats(0.01, 1.9e7),
    share=st.floats(0.9, 1),
)
def test_the_box_is_not_too_narrow_at_its_edge(
    centre: tuple[float, float], bearing: float, radius_m: float, share: float
) -> None:
    angle = share * radius_m / 6_371_008.8
    phi, lam = map(math.radians, centre)
    sine = math.sin(phi) * math.cos(angle) + math.cos(phi) * math.sin(angle) * math.cos(bearing)
    latitude = math.asin(max(-1, min(1, sine)))
    longitude = lam + math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(phi),
        math.cos(angle) - math.sin(phi) * math.sin(latitude),
    )
    place = math.degrees(latitude), (math.degrees(longitude) + 540) % 360 - 180
    distance = distance_m(*centre, *place)
    assert distance is not None
    if distance <= radius_m:
        south, north, spans = box(*centre, radius_m)
        assert south <= place[0] <= north
        assert any(west <= place[1] <= east for west, east in spans)


@pytest.mark.parametrize(
    ("text", "number"),
    [("10", 10.0), (" 9.5 ", 9.5), ("1e3", 1000.0), ("-2", -2.0), ("007", 7.0)]
    + [(text, None) for text in ("", "nan", "inf", "1_000", "１２", "10 cm", "1e999")],
)
def test_only_plain_numbers_are_numbers(text: str, number: float | None) -> None:
    assert as_number(text) == number


def test_a_camera_is_named_with_its_make_once() -> None:
    assert camera_name("Canon", "Canon EOS 5D") == "Canon EOS 5D"
    assert camera_name("Google", "Pixel 3") == "Google Pixel 3"
    assert camera_name(None, "Pixel 3") == "Pixel 3"
    assert camera_name("Canon", None) == "Canon"
    assert camera_name(None, None) is None
