from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from likeness.imaging.contact_sheet import SheetHit, SheetRow, contact_sheet, sheet_png
from tests.unit.imaging.drawing import gradient

RED = np.full((30, 60, 3), (255, 0, 0), np.uint8)
BLUE = np.full((60, 30, 3), (0, 0, 255), np.uint8)


def hits(count: int) -> list[SheetHit]:
    return [SheetHit(i + 1, 1 - i / 100, f"picture{i}.jpg", gradient()) for i in range(count)]


def boxes(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """The box around every pixel of exactly this colour."""
    found = np.argwhere((np.asarray(sheet) == colour).all(axis=2))
    if not len(found):
        return None
    (top, left), (bottom, right) = found.min(0), found.max(0) + 1
    return int(left), int(top), int(right), int(bottom)


def test_query_and_answers_keep_their_aspect_and_stand_side_by_side() -> None:
    sheet = contact_sheet([SheetRow([SheetHit(1, 0.9, "b.jpg", BLUE)], images=[RED])], side=100)
    query, answer = boxes(sheet, (255, 0, 0)), boxes(sheet, (0, 0, 255))
    assert query is not None
    assert answer is not None
    assert query[2] < answer[0]
    width, height = answer[2] - answer[0], answer[3] - answer[1]
    assert height == 98
    assert width == pytest.approx(height / 2, abs=1)


@pytest.mark.parametrize(("count", "lines"), [(1, 1), (3, 1), (4, 2), (10, 4)])
def test_answers_wrap_into_lines_of_as_many_columns(count: int, lines: int) -> None:
    single = contact_sheet([SheetRow(hits(1), words=["x"])], columns=3, side=64).height
    sheet = contact_sheet([SheetRow(hits(count), words=["x"])], columns=3, side=64)
    assert (sheet.height - single) % (lines - 1 or 1) == 0
    assert (sheet.height > single) == (lines > 1)


def test_a_sheet_can_be_drawn_of_anything() -> None:
    odd = [
        SheetHit(1, float("nan"), "", None),
        SheetHit(
            123456, -1.5, "日本\n\x1b[31m\udce9" + "x" * 500, np.zeros((1, 3000, 3), np.uint8)
        ),
        SheetHit(3, 0.0, "Привет.jpg", np.zeros((3000, 1, 3), np.uint8)),
    ]
    rows = [
        SheetRow([]),
        SheetRow([], words=[""]),
        SheetRow(odd, words=["word" * 100, "many words " * 60], without_words=["日本"]),
        SheetRow(hits(2), images=[RED, BLUE], without_images=[gradient(1, 1)]),
    ]
    sheet = contact_sheet(rows, title="t" * 500)
    assert sheet.mode == "RGB"
    assert contact_sheet([]).size[0] > 0
    with pytest.raises(ValueError, match="column"):
        contact_sheet(rows, columns=0)


def test_a_sheet_is_written_as_png() -> None:
    data = sheet_png([SheetRow(hits(2), words=["a red bicycle"])], title="search")
    assert Image.open(io.BytesIO(data)).format == "PNG"
