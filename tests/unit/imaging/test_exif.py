from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from likeness.imaging.decode import decode
from likeness.imaging.exif import degrees, parse_time, read_exif
from likeness.types import ImageFacts
from tests.unit.imaging.drawing import encoded, gradient, heic

EXIF_IFD, GPS_IFD = 0x8769, 0x8825


def camera_exif(**gps: Any) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Pentax\x00 "
    exif[0x0110] = "K-3 III"
    exif[0x0132] = "2021:12:31 23:59:59"
    details = exif.get_ifd(EXIF_IFD)
    details[0x9003] = "2019:06:01 12:30:05"
    details[0xA434] = "HD 35mm"
    place = exif.get_ifd(GPS_IFD)
    place[1] = gps.get("north", "S")
    place[2] = gps.get("latitude", (33.0, 51.0, 36.0))
    place[3] = gps.get("east", "E")
    place[4] = gps.get("longitude", (151.0, 12.0, 36.0))
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_facts_are_read_from_every_format_that_holds_them(kind: str) -> None:
    exif = camera_exif()
    if kind == "TIFF":  # Pillow writes these only when they are set as values
        for ifd in (EXIF_IFD, GPS_IFD):
            exif[ifd] = dict(exif.get_ifd(ifd))
    data = (
        heic(gradient(), exif=exif.tobytes())
        if kind == "HEIF"
        else encoded(gradient(), kind, exif=exif)
    )
    facts = decode(data, "photo").facts
    assert facts == ImageFacts(
        width=48,
        height=32,
        format=kind.lower(),
        taken_at=datetime(2019, 6, 1, 12, 30, 5),
        camera_make="Pentax",
        camera_model="K-3 III",
        lens="HD 35mm",
        latitude=pytest.approx(-33.86),
        longitude=pytest.approx(151.21),
    )


def test_the_time_falls_back_to_digitised_then_to_the_files_own() -> None:
    exif = camera_exif()
    details = exif.get_ifd(EXIF_IFD)
    del details[0x9003]
    details[0x9004] = "2020:01:02 03:04:05"
    assert read_exif(exif).taken_at == datetime(2020, 1, 2, 3, 4, 5)
    details[0x9004] = "0000:00:00 00:00:00"
    assert read_exif(exif).taken_at == datetime(2021, 12, 31, 23, 59, 59)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2019:06:01 12:30:05", datetime(2019, 6, 1, 12, 30, 5)),
        ("2019-06-01T12:30:05+02:00", datetime(2019, 6, 1, 12, 30, 5)),
        ("2019/06/01 12:30:05\x00", datetime(2019, 6, 1, 12, 30, 5)),
        ("2019:06:01 12:30", datetime(2019, 6, 1, 12, 30)),
        ("2019:06:01", datetime(2019, 6, 1)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2019:02:30 12:00:00", None),
        ("yesterday", None),
    ],
)
def test_times_are_read_as_programs_write_them(text: str, when: datetime | None) -> None:
    assert parse_time(text) == when


@pytest.mark.parametrize(
    ("gps", "place"),
    [
        ({"north": "N"}, (33.86, 151.21)),
        ({"east": "W"}, (-33.86, -151.21)),
        ({"north": b"N\x00"}, (33.86, 151.21)),
        ({"latitude": (33.86,)}, (-33.86, 151.21)),
        ({"latitude": (IFDRational(33, 1), IFDRational(51, 0), IFDRational(0, 0))}, None),
        ({"latitude": (91.0, 0.0, 0.0)}, None),
        ({"longitude": (180.0, 0.0, 1.0)}, None),
        ({"longitude": (-151.0, 0.0, 0.0)}, None),
        ({"longitude": (151.0, 75.0, 0.0)}, None),
        ({"latitude": (float("nan"), 0.0, 0.0)}, None),
        ({"latitude": (0.0, 0.0, 0.0), "longitude": (0.0, 0.0, 0.0)}, None),
        ({"north": "?"}, None),
        ({"latitude": ()}, None),
        ({"latitude": "here"}, None),
    ],
)
def test_places_are_signed_and_impossible_ones_ignored(
    gps: dict[str, Any], place: tuple[float, float] | None
) -> None:
    exif = camera_exif()
    ifd = exif.get_ifd(GPS_IFD)
    names = {"north": 1, "latitude": 2, "east": 3, "longitude": 4}
    ifd.update({names[name]: value for name, value in gps.items()})
    facts = read_exif(exif)
    if place is None:
        assert (facts.latitude, facts.longitude) == (None, None)
    else:
        assert (facts.latitude, facts.longitude) == pytest.approx(place)


def test_a_zero_denominator_in_a_file_loses_the_place_and_nothing_else() -> None:
    exif = camera_exif(latitude=(IFDRational(33, 1), IFDRational(1, 0), IFDRational(0, 1)))
    facts = decode(encoded(gradient(), "JPEG", exif=exif), "photo").facts
    assert facts.latitude is None
    assert facts.camera_model == "K-3 III"


@given(st.floats(0, 90), st.sampled_from("NS"))
def test_degrees_come_back_from_degrees_minutes_and_seconds(angle: float, letter: str) -> None:
    whole = int(angle)
    minutes = int((angle - whole) * 60)
    seconds = ((angle - whole) * 60 - minutes) * 60
    signed = -angle if letter == "S" else angle
    assert degrees((whole, minutes, min(seconds, 59.999999)), letter, 90.0) == pytest.approx(
        signed, abs=1e-8
    )


@given(
    st.dictionaries(
        st.sampled_from([0x010F, 0x0110, 0x0112, 0x0132]),
        st.one_of(
            st.text(), st.binary(), st.integers(), st.none(), st.tuples(st.text()), st.floats()
        ),
    )
)
def test_tags_of_any_type_are_read_or_left_out(tags: dict[int, Any]) -> None:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    facts = read_exif(exif)
    assert 1 <= facts.orientation <= 8
    for text in (facts.camera_make, facts.camera_model):
        assert text is None or (text.isprintable() and 0 < len(text) <= 200)
