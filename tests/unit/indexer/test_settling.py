from __future__ import annotations

import io
from pathlib import Path

import pytest

from indexer.watching.settling import Settling, looks_whole
from indexer.watching.touched import covering
from tests.fakes.pictures import draw_picture

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")


def encoded(form: str) -> bytes:
    data = io.BytesIO()
    draw_picture(3, (300, 200)).save(data, form)
    return data.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_an_image_looks_whole_when_it_is_and_not_before(tmp_path: Path, form: str) -> None:
    whole, path = encoded(form), tmp_path / "image"
    path.write_bytes(whole)
    assert looks_whole(path)
    for share in (0.0, 0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert not looks_whole(path), share
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))  # room made beforehand
    assert form in ("WEBP", "BMP") or not looks_whole(path)


def test_data_that_cameras_append_does_not_make_an_image_half(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded("JPEG") + b"SEFH" + bytes(range(256)) * 40)
    assert looks_whole(path)


def test_what_cannot_be_told_is_whole_and_what_cannot_be_read_is_not(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"some other format")
    assert looks_whole(tmp_path / "other.bin")
    assert looks_whole(tmp_path)
    assert not looks_whole(tmp_path / "gone.jpg")


def test_a_file_is_taken_once_it_has_stood_still(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    settling = Settling(2.0, 30.0, whole=lambda _: True)
    settling.touch(path, 0.0)
    assert settling.take(1.9) == []
    path.write_bytes(b"12")  # it grows, though no event said so
    assert settling.take(2.1) == []
    assert settling.take(4.0) == []
    assert settling.take(4.2) == [path]
    assert settling.take(99.0) == []
    assert len(settling) == 0


def test_a_file_that_never_looks_whole_is_taken_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    settling = Settling(1.0, 30.0, whole=lambda _: False)
    settling.touch(path, 0.0)
    assert settling.take(29.0) == []
    assert settling.take(30.0) == [path]


def test_what_is_gone_needs_no_waiting_beyond_standing_still(tmp_path: Path) -> None:
    settling = Settling(1.0, 30.0, whole=lambda _: False)
    settling.touch(tmp_path / "gone", 0.0)
    assert settling.take(1.0) == [tmp_path / "gone"]


def test_paths_below_others_are_covered_by_them() -> None:
    paths = [Path(p) for p in ("/a/b/c", "/a/b", "/a/b.jpg", "/a/bc/d", "/x", "/x/y/z", "/a/b")]
    assert covering(paths) == [Path(p) for p in ("/a/b", "/a/b.jpg", "/a/bc/d", "/x")]
    assert covering([Path("/a/b"), Path("/a/b!"), Path("/a/b/c")]) == [Path("/a/b"), Path("/a/b!")]
