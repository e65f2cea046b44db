"""The page's colours can be read: contrast as WCAG 2.2 asks for text (4.5 to 1), light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_THEME = Path(__file__).resolve().parents[3] / "api" / "web" / "css" / "theme.css"
_PAIR = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
_SURFACES = ("bg", "surface", "raised", "sunken")
_READ_ON = {
    "text": (*_SURFACES, "accent-soft", "good-soft", "bad-soft", "warn-soft"),
    "muted": _SURFACES,
    "accent": (*_SURFACES, "accent-soft"),
    "good": (*_SURFACES, "good-soft"),
    "bad": (*_SURFACES, "bad-soft"),
    "warn": (*_SURFACES, "warn-soft"),
    "on-accent": ("accent-fill", "accent-fill-hover", "bad-fill"),
}
_WANTED = 4.5


def colours(scheme: int) -> dict[str, str]:
    """Colours by name; scheme: 0 light, 1 dark."""
    found = {name: pair[scheme] for name, *pair in _PAIR.findall(_THEME.read_text())}
    return {**found, "on-accent": "#ffffff"}


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_counted_as_the_standard_does() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_can_be_read_on_what_it_stands_on(scheme: int) -> None:
    known = colours(scheme)
    assert "on-accent: #ffffff" in _THEME.read_text()
    weak = {
        f"{text} on {ground}": round(ratio, 2)
        for text, grounds in _READ_ON.items()
        for ground in grounds
        if (ratio := contrast(known[text], known[ground])) < _WANTED
    }
    assert not weak
