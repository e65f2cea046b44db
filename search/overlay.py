"""An explanation as a picture: both images side by side, what they share in the same colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from likeness.types import RgbImage
from search.explain import Box, Explanation

_GAP = 12
_GROUND = (24, 24, 27)
_FRAME = (255, 214, 10)
_HEAT = np.array([255, 96, 0], dtype=np.float32)
_HEAT_SHARE = 0.6
_DIMMED = 0.45


def draw(
    explanation: Explanation, query: RgbImage, candidate: RgbImage, *, height: int = 400
) -> RgbImage:
    """uint8 [height, w, 3]: the query, the query with its attention, and the candidate.

    Verified patches are dots of the same colour in both, the shared region is framed. The middle
    panel is left out where there is no attention map. query, candidate: uint8 [h, w, 3], those
    that were explained.
    """
    panels = [_panel(query, height)]
    if explanation.attention is not None:
        heated = _heated(_panel(query, height), explanation.attention, explanation.attention_box)
        panels.append(heated)
    panels.append(_panel(candidate, height))
    _mark(panels[0], panels[-1], explanation)
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, height), _GROUND)
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + _GAP
    return np.asarray(sheet)


def _panel(image: RgbImage, height: int) -> Image.Image:
    """The image at this height; very wide ones are scaled to three times the height."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    width = max(1, round(picture.width * height / picture.height))
    if width <= 3 * height:
        return picture.resize((width, height), Image.Resampling.BICUBIC)
    picture.thumbnail((3 * height, height), Image.Resampling.BICUBIC)
    panel = Image.new("RGB", (3 * height, height), _GROUND)
    panel.paste(picture, (0, (height - picture.height) // 2))
    return panel


def _heated(panel: Image.Image, attention: npt.NDArray[np.float32], box: Box) -> Image.Image:
    """The panel, dark where the encoder did not look and glowing where it did."""
    width, height = panel.size
    left, top, right, bottom = box
    seen = (max(1, round((right - left) * width)), max(1, round((bottom - top) * height)))
    heat = Image.fromarray(np.rint(255 * attention).astype(np.uint8)).resize(
        seen, Image.Resampling.BICUBIC
    )
    whole = Image.new("L", (width, height), 0)
    whole.paste(heat, (round(left * width), round(top * height)))
    share = np.asarray(whole, dtype=np.float32)[..., np.newaxis] / 255
    pixels = np.asarray(panel, dtype=np.float32) * (_DIMMED + (1 - _DIMMED) * share)
    glowing = pixels + _HEAT_SHARE * share * (_HEAT - pixels)
    return Image.fromarray(np.clip(np.rint(glowing), 0, 255).astype(np.uint8))


def _mark(query: Image.Image, candidate: Image.Image, explanation: Explanation) -> None:
    """Draw the region and the verified patches on both panels."""
    region = explanation.region
    if region is None:
        return
    left, top, right, bottom = region.query
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    _outline(query, corners)
    _outline(candidate, region.candidate)
    for match in explanation.matches:
        if match.verified:
            colour = _colour_of(*match.query)
            _dot(query, match.query, colour)
            _dot(candidate, match.candidate, colour)


def _outline(panel: Image.Image, corners: Sequence[tuple[float, float]]) -> None:
    points = [_pixel(panel, corner) for corner in corners]
    # Black beneath yellow, so that it shows on any picture.
    for colour, width in (((0, 0, 0), 5), (_FRAME, 3)):
        ImageDraw.Draw(panel).line([*points, points[0]], fill=colour, width=width, joint="curve")


def _dot(panel: Image.Image, place: tuple[float, float], colour: tuple[int, int, int]) -> None:
    x, y = _pixel(panel, place)
    radius = max(3, panel.height // 80)
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(panel).ellipse(box, fill=colour, outline=(0, 0, 0))


def _pixel(panel: Image.Image, place: tuple[float, float]) -> tuple[float, float]:
    return place[0] * panel.width, place[1] * panel.height


def _colour_of(x: float, y: float) -> tuple[int, int, int]:
    """Hue from left to right, lighter to the bottom: neighbours look alike, strangers do not."""
    red, green, blue = colorsys.hsv_to_rgb(0.85 * min(max(x, 0), 1), 1 - 0.6 * min(max(y, 0), 1), 1)
    return round(255 * red), round(255 * green), round(255 * blue)
