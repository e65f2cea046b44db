from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.sources import (
    ProblemKind,
    Source,
    SourceItem,
    SourceProblem,
    open_list,
)
from indexer.sources.samples import cell
from likeness.errors import SourceError, UnreadableSource


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder `photos` with two files; lists are written beside it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "b c.jpg").write_bytes(b"bc")
    return folder


def items(source: Source) -> list[SourceItem]:
    return [found for found in source.scan() if isinstance(found, SourceItem)]


def test_a_text_list_names_paths_and_urls_relative_to_itself(photos: Path) -> None:
    text = f"# mine\nphotos/a.jpg\n\n{photos}/b c.jpg\nhttps://x.org/y.png\nphotos/gone.jpg\n"
    (photos.parent / "list.txt").write_text(text)
    with open_list(photos.parent / "list.txt") as source:
        found = items(source)
        assert [item.uri for item in found] == [
            (photos / "a.jpg").as_uri(),
            (photos / "b c.jpg").as_uri(),
            "https://x.org/y.png",
            (photos / "gone.jpg").as_uri(),
        ]
        assert (found[1].size, found[1].mtime_ns) == (2, (photos / "b c.jpg").stat().st_mtime_ns)
        assert (found[2].size, found[2].mtime_ns) == (None, None)
        assert source.read(found[1]) == b"bc"
        with pytest.raises(UnreadableSource, match="no such file"):
            source.read(found[3])
        assert source.root is None
        assert [source.exists(item.uri) for item in found] == [True, True, True, False]


def test_repeated_entries_count_once_and_odd_ones_are_reported(photos: Path) -> None:
    (photos.parent / "list.txt").write_text(
        f"photos/a.jpg\n./photos/../photos/a.jpg\n{(photos / 'a.jpg').as_uri()}\n"
        "ftp://x.org/a.jpg\nsftp://host/a.jpg\n"
    )
    source = open_list(photos.parent / "list.txt")
    found = list(source.scan())
    assert len(found) == 3
    assert all(isinstance(p, SourceProblem) and p.kind is ProblemKind.SKIPPED for p in found[1:])


def test_names_in_a_list_need_not_be_utf8(photos: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (photos / name).write_bytes(b"x")
    (photos.parent / "list.txt").write_bytes(b"\xef\xbb\xbfphotos/caf\xe9.jpg\r\n")
    source = open_list(photos.parent / "list.txt")
    assert [source.read(item) for item in items(source)] == [b"x"]


@pytest.mark.parametrize("header", ["path", "url", "File", "image", "filename"])
def test_a_csvs_other_columns_become_fields(photos: Path, header: str) -> None:
    (photos.parent / "list.csv").write_text(
        f'id,{header},price,code,note\n1,photos/a.jpg,2.50,007,"a, b"\n2,photos/b c.jpg,,1e3,\n'
    )
    found = items(open_list(photos.parent / "list.csv"))
    assert [dict(item.fields) for item in found] == [
        {"id": 1.0, "price": 2.5, "code": "007", "note": "a, b"},
        {"id": 2.0, "code": 1000.0},
    ]


def test_the_column_may_be_named(photos: Path) -> None:
    (photos.parent / "list.csv").write_text("path,other\nx,photos/a.jpg\n")
    found = items(open_list(photos.parent / "list.csv", column="other"))
    assert [dict(item.fields) for item in found] == [{"path": "x"}]
    with pytest.raises(SourceError, match=r"no column 'nothing'.*path, other"):
        open_list(photos.parent / "list.csv", column="nothing")


def test_a_list_without_a_column_of_images_says_what_it_has(photos: Path) -> None:
    (photos.parent / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"--column \(has: a, b\)"):
        open_list(photos.parent / "list.csv")
    (photos.parent / "empty.csv").write_text("")
    with pytest.raises(SourceError, match="has: none"):
        open_list(photos.parent / "empty.csv")


def test_a_parquets_other_columns_become_fields_with_their_types(photos: Path) -> None:
    table = pa.table(
        {
            "path": ["photos/a.jpg", None, "photos/b c.jpg"],
            "year": [2019, 2020, None],
            "score": [0.25, float("nan"), 1.0],
            "title": ["x", "y", ""],
            "day": [date(2019, 6, 1), None, None],
            "big": [2**60, 0, 0],
            "parts": [["a", "b"], None, []],
            "good": [True, False, None],
        }
    )
    pq.write_table(table, photos.parent / "list.parquet")
    found = items(open_list(photos.parent / "list.parquet"))
    assert [item.path for item in found] == [str(photos / "a.jpg"), str(photos / "b c.jpg")]
    assert dict(found[0].fields) == {
        "year": 2019.0,
        "score": 0.25,
        "title": "x",
        "day": "2019-06-01",
        "big": str(2**60),
        "parts": '["a", "b"]',
        "good": "true",
    }
    assert dict(found[1].fields) == {"score": 1.0, "big": 0.0, "parts": "[]"}


def test_broken_and_missing_lists_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such list"):
        open_list(tmp_path / "none.txt")
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(SourceError, match="cannot be read"):
        open_list(tmp_path / "x.parquet")
    (tmp_path / "x.txt").write_text("a.jpg")
    with pytest.raises(SourceError, match="no columns"):
        open_list(tmp_path / "x.txt", column="path")


@given(st.floats(-1e15, 1e15, allow_nan=False) | st.integers(-(2**53), 2**53))
def test_numbers_in_a_csv_stay_numbers(number: float) -> None:
    assert cell(repr(number)) == float(number)


@pytest.mark.parametrize("text", ["007", "nan", "inf", "1_000", "0x10", "1,5", "9" * 20, "1e999"])
def test_what_only_looks_like_a_number_stays_text(text: str) -> None:
    assert cell(text) == text
