from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likeness.errors import SourceError
from tests.unit.training.drawn import as_jpeg, drawn_photo, write_folder, write_shard
from training.photos import find_photos, readable, split_held_out
from training.views import ViewDataset, ViewSizes


def test_a_shard_gives_bytes_pixels_and_captions(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", 3, {1: "a red ball\n\n two balls \n"})
    photos = find_photos([shard])
    assert [p.key for p in photos] == ["drawn_00000", "drawn_00001", "drawn_00002"]
    assert [p.captions for p in photos] == [(), ("a red ball", "two balls"), ()]
    for i, photo in enumerate(photos):
        assert photo.read() == as_jpeg(drawn_photo(i))
        assert np.asarray(photo.image()).shape == (56, 72, 3)


def test_a_folder_gives_its_images_and_shards_but_not_what_is_excluded(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "er", 2)
    write_shard(tmp_path / "train.tar", 2, {})
    write_shard(tmp_path / "x-dev.tar", 2, {})
    (tmp_path / "notes.txt").write_text("no photo")
    photos = find_photos([tmp_path], ["*-dev.tar"])
    assert sorted(p.file.name for p in photos) == [
        "photo_000.jpg", "photo_001.jpg", "train.tar", "train.tar",
    ]  # fmt: skip


def test_a_place_without_photos_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no photo"):
        find_photos([tmp_path])
    with pytest.raises(SourceError, match="not there"):
        find_photos([tmp_path / "absent"])


def test_a_damaged_shard_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SourceError, match="not a readable shard"):
        find_photos([tmp_path / "bad.tar"])


def test_held_out_photos_do_not_depend_on_order_and_are_never_trained_on(tmp_path: Path) -> None:
    photos = find_photos([write_folder(tmp_path, 20)])
    training, held_out = split_held_out(photos, 5)
    again, held_out_again = split_held_out(photos[::-1], 5)
    assert held_out == held_out_again
    assert set(training) == set(again) == set(photos) - set(held_out)


def test_a_photo_that_cannot_be_decoded_is_left_out_with_a_warning_that_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path, 4)
    (folder / "photo_001.jpg").write_bytes(b"no image at all")
    photos = find_photos([folder])
    assert [p.key for p, _ in readable(photos)] == ["photo_000", "photo_002", "photo_003"]
    assert "photo_001" in caplog.text
    views = ViewDataset(photos, ViewSizes(32, 16), seed=0)
    assert views[0, 1][0].shape == (32, 32, 3)
