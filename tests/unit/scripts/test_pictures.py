"""The demo's collection: enough pictures, the same ones every time, edited copies among them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pictures.collection import EDITED, make_collection, make_query
from scripts.pictures.drawings import DRAWINGS, draw
from scripts.pictures.edits import EDITS
from scripts.pictures.photos import PHOTOS, locate
from tests.fakes.pictures import draw_picture

needs_photos = pytest.mark.skipif(
    any(locate(photo) is None for photo in PHOTOS),
    reason="scikit-image, scikit-learn or matplotlib is not installed: pip install '.[demo]'",
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "collection"
    make_collection(folder)
    return folder


@needs_photos
def test_the_collection_has_at_least_60_images_that_all_differ(collection: Path) -> None:
    paths = [p for p in collection.rglob("*") if p.suffix in {".jpg", ".png"}]
    assert len(paths) >= 60
    assert len({hashlib.sha256(p.read_bytes()).digest() for p in paths}) == len(paths)
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert min(image.size) >= 100, path.name


@needs_photos
def test_every_edit_is_there_for_every_photo_that_is_edited(collection: Path) -> None:
    names = {path.stem for path in (collection / "edited").iterdir()}
    assert names == {f"{photo}-{edit}" for photo in EDITED for edit in EDITS}


@needs_photos
def test_a_collection_that_is_there_is_left_alone_and_an_outdated_one_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.pictures.collection.DRAWINGS", {"orange": DRAWINGS["orange"]})
    monkeypatch.setattr("scripts.pictures.collection.EDITED", ("cat",))
    make_collection(tmp_path)
    drawing = tmp_path / "drawn" / "orange-1.jpg"
    before = drawing.stat().st_mtime_ns
    make_collection(tmp_path)
    assert drawing.stat().st_mtime_ns == before
    (tmp_path / ".made-by").write_text("an older version")
    make_collection(tmp_path)
    assert drawing.stat().st_mtime_ns != before


@needs_photos
def test_the_query_picture_is_no_image_of_the_collection(collection: Path, tmp_path: Path) -> None:
    query = make_query(tmp_path / "query.jpg", "cat").read_bytes()
    assert all(path.read_bytes() != query for path in collection.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["red-apple", "snowy-mountains", "poster-sale"])
def test_a_drawing_is_the_same_every_time_and_its_variants_differ(name: str) -> None:
    first = np.asarray(draw(name, 0))
    assert np.array_equal(first, np.asarray(draw(name, 0)))
    assert not np.array_equal(first, np.asarray(draw(name, 1)))


def test_every_drawing_has_structure() -> None:
    for name in DRAWINGS:
        assert np.asarray(draw(name, 0)).std() > 15, name


@pytest.mark.parametrize("edit", sorted(EDITS))
def test_an_edit_changes_the_picture_and_leaves_its_argument_alone(edit: str) -> None:
    image = draw_picture(2, (320, 240))
    before = np.array(image)
    edited = EDITS[edit](image)
    assert np.array_equal(np.asarray(image), before)
    assert edited.mode == "RGB"
    same_size = edited.size == image.size
    assert not (same_size and np.array_equal(np.asarray(edited), before))
