"""A contact sheet: queries on the left, their ranked answers beside them, as one picture.

It needs no fonts of the system: Pillow brings one. Names in scripts which that one lacks use a
system font where there is one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from likeness.types import RgbImage

_PAPER = (250, 250, 248)
_CARD = (255, 255, 255)
_MAT = (238, 238, 235)
_LINE = (218, 218, 214)
_INK = (28, 28, 30)
_FAINT = (120, 120, 122)
_ACCENT = (176, 58, 46)
_REJECT = (150, 150, 152)

_MARGIN = 28
_GAP = 16
_CAPTION = 52
_TITLE = 34
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class SheetHit:
    """One answer. name: short, for people. image: uint8 [h, w, 3], None when it cannot be read."""

    rank: int
    score: float
    name: str
    image: RgbImage | None


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One query with its answers, best first.

    words, images: what was asked for; without_words, without_images: what was to be avoided.
    """

    hits: Sequence[SheetHit]
    words: Sequence[str] = ()
    images: Sequence[RgbImage] = ()
    without_words: Sequence[str] = ()
    without_images: Sequence[RgbImage] = field(default=())


def contact_sheet(
    rows: Sequence[SheetRow], *, columns: int = 5, side: int = 208, title: str | None = None
) -> Image.Image:
    """Draw the rows below each other as one RGB picture.

    columns: answers side by side; side: pixels of the square that holds each picture.
    """
    if columns < 1 or side < 32:
        raise ValueError(f"a sheet needs a column and 32 pixels a side, got {columns} and {side}")
    widest = max((len(row.hits) for row in rows), default=0)
    columns = max(1, min(columns, widest))
    heights = [_row_height(row, columns, side) for row in rows]
    width = 2 * _MARGIN + side + _GAP + columns * (side + _GAP)
    head = _TITLE + _GAP if title else 0
    height = 2 * _MARGIN + head + sum(heights) + 2 * _GAP * max(0, len(rows) - 1)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    if title:
        room = width - 2 * _MARGIN
        draw.text((_MARGIN, top), _cut(title, _font(24, title), room), _INK, _font(24, title))
        top += head
    for number, (row, row_height) in enumerate(zip(rows, heights, strict=True)):
        if number:
            draw.line((_MARGIN, top - _GAP, width - _MARGIN, top - _GAP), _LINE)
        _draw_query(sheet, row, top, side)
        _draw_hits(sheet, row, top, columns, side)
        top += row_height + 2 * _GAP
    return sheet


def sheet_png(
    rows: Sequence[SheetRow], *, columns: int = 5, side: int = 208, title: str | None = None
) -> bytes:
    """`contact_sheet` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    contact_sheet(rows, columns=columns, side=side, title=title).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _QueryPart:
    """One thing asked for (or to be avoided), with the height it takes on the sheet."""

    wanted: bool
    height: int
    lines: tuple[str, ...] = ()
    image: RgbImage | None = None


_LABEL = 20
_LINE_HEIGHT = 27


def _query_parts(row: SheetRow, side: int) -> list[_QueryPart]:
    parts = []
    for wanted, words, images in (
        (True, row.words, row.images),
        (False, row.without_words, row.without_images),
    ):
        for image in images:
            height = _fitted_size(image, side)[1]
            parts.append(_QueryPart(wanted, _LABEL + height, image=image))
        for text in words:
            lines = tuple(_wrap(f"“{text}”", side))
            parts.append(_QueryPart(wanted, _LABEL + _LINE_HEIGHT * len(lines), lines))
    return parts


def _row_height(row: SheetRow, columns: int, side: int) -> int:
    asked = sum(part.height + _GAP for part in _query_parts(row, side))
    answered = -(-len(row.hits) // columns) * (side + _CAPTION + _GAP)
    return max(asked, answered, _LABEL + _LINE_HEIGHT + _GAP) - _GAP


def _draw_query(sheet: Image.Image, row: SheetRow, top: int, side: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for part in _query_parts(row, side):
        label, colour = ("QUERY", _ACCENT) if part.wanted else ("NOT", _REJECT)
        draw.text((_MARGIN, top), label, colour, _font(13))
        at = top + _LABEL
        if part.image is not None:
            fitted = _fit(part.image, side)
            sheet.paste(fitted, (_MARGIN, at))
            right, bottom = _MARGIN + fitted.width - 1, at + fitted.height - 1
            draw.rectangle((_MARGIN, at, right, bottom), outline=colour, width=3)
            if not part.wanted:
                draw.line((_MARGIN, bottom, right, at), colour, 3)
        for line in part.lines:
            draw.text((_MARGIN, at), line, _INK if part.wanted else _FAINT, _font(21, line))
            at += _LINE_HEIGHT
        top += part.height + _GAP


def _draw_hits(sheet: Image.Image, row: SheetRow, top: int, columns: int, side: int) -> None:
    left = _MARGIN + side + 2 * _GAP
    draw = ImageDraw.Draw(sheet)
    if not row.hits:
        draw.text((left, top + _LABEL), "nothing found", _FAINT, _font(17))
    for place, hit in enumerate(row.hits):
        x = left + place % columns * (side + _GAP)
        y = top + place // columns * (side + _CAPTION + _GAP)
        draw.rectangle((x, y, x + side - 1, y + side + _CAPTION - 1), _CARD, _LINE)
        draw.rectangle((x, y, x + side - 1, y + side - 1), _MAT, _LINE)
        if hit.image is None:
            draw.text((x + side / 2, y + side / 2), "no picture", _FAINT, _font(14), anchor="mm")
        else:
            inner = side - 2
            fitted = _fit(hit.image, inner)
            left_over = (inner - fitted.width) // 2, (inner - fitted.height) // 2
            sheet.paste(fitted, (x + 1 + left_over[0], y + 1 + left_over[1]))
        draw.text((x + 8, y + side + 6), f"{hit.rank}", _ACCENT, _font(17))
        draw.text((x + side - 8, y + side + 8), f"{hit.score:.3f}", _INK, _font(15), anchor="ra")
        name_font = _font(13, hit.name)
        name = _cut(_printable(hit.name), name_font, side - 16)
        draw.text((x + 8, y + side + 30), name, _FAINT, name_font)


def _fitted_size(image: RgbImage, side: int) -> tuple[int, int]:
    """(width, height) with the picture's aspect; small pictures are enlarged up to fourfold."""
    height, width = image.shape[:2]
    scale = min(side / max(width, height), 4.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _fit(image: RgbImage, side: int) -> Image.Image:
    size = _fitted_size(image, side)
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _cut(text: str, font: Font, room: int) -> str:
    """`text`, or its beginning and end around an ellipsis, at most `room` pixels wide."""
    if font.getlength(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the largest number of characters that fits
        middle = (low + high + 1) // 2
        if font.getlength(_shortened(text, middle)) <= room:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


def _shortened(text: str, kept: int) -> str:
    tail = min(kept // 2, 12)  # the end tells: extension and number
    return f"{text[: kept - tail]}…{text[len(text) - tail :]}"


def _wrap(text: str, room: int, most: int = 6) -> list[str]:
    """Lines of at most `room` pixels, at most `most` of them."""
    font = _font(21, text)
    lines: list[str] = []
    for word in _printable(text).split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [_cut(line, font, room) for line in lines]


def _font(size: int, text: str = "") -> Font:
    """Pillow's own font, or a system font for text that it has no letters for."""
    try:
        text.replace("\ufffd", "").encode("cp1252")
    except UnicodeEncodeError:
        return _wide_font(size) or _own_font(size)
    return _own_font(size)


@lru_cache(maxsize=16)
def _own_font(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=16)
def _wide_font(size: int) -> Font | None:
    for name in _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None
