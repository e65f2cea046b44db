"""Copies and clusters as a user types the commands; only the encoder is a fake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from likeness.cli import main as cli_main
from search.duplicates.edits import edit_named
from tests.fakes.encoder import FakeEncoder
from tests.fakes.runtime import FakeRuntime
from tests.fakes.scenes import draw_scene

_MODULES = ("index", "images", "duplicates", "apply", "undo", "check", "cluster")


class Terminal:
    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home, self._capsys = home, capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        found = cli_main.run(["--home", str(self._home), *arguments])
        captured = self._capsys.readouterr()
        assert found == status, captured.err
        return captured.out + captured.err

    def json(self, *arguments: str, status: int = 0) -> list[Any]:
        text = self(*arguments, "--json", status=status)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture
def likeness(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    for name in _MODULES:
        monkeypatch.setattr(
            f"likeness.cli.{name}.Runtime",
            lambda settings: FakeRuntime(settings, FakeEncoder()),
        )
    few = tuple(edit_named(name) for name in ("jpeg-q50", "mirror"))
    monkeypatch.setattr("search.duplicates.finder.CALIBRATION_EDITS", few)
    monkeypatch.setenv("LIKENESS_DECODE_WORKERS", "1")
    return Terminal(tmp_path / "home", capsys)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        Image.fromarray(draw_scene(seed)).save(folder / f"{seed}.png")
    shutil.copy(folder / "0.png", folder / "0 again.png")
    cropped = edit_named("crop-90")(draw_scene(1), np.random.default_rng(0))
    Image.fromarray(cropped).save(folder / "1 cropped.png")
    return folder


def ready(likeness: Terminal) -> set[str]:
    return {Path(row["path"]).name for row in likeness.json("images")}


def test_copies_are_found_planned_taken_away_and_brought_back(
    likeness: Terminal, photos: Path, tmp_path: Path
) -> None:
    likeness("index", str(photos))
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    plan, sheet = tmp_path / "plan.json", tmp_path / "sheet.html"
    (document,) = likeness.json("duplicates", "--plan", str(plan), "--sheet", str(sheet))
    groups = [
        [(Path(image["path"]).name, image["relation"]) for image in group["images"]]
        for group in document["groups"]
    ]
    assert groups == [
        [("0.png", None), ("0 again.png", "same-bytes")],
        [("1.png", None), ("1 cropped.png", "edited-copy")],
    ]
    assert document["groups"][1]["images"][1]["evidence"]["area"] < 0.95
    assert "edited-copy" in sheet.read_text()
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before

    ids = {Path(row["path"]).name: row["id"] for row in likeness.json("images")}
    likeness("images", "--id", str(ids["1 cropped.png"]), "--tag", "holiday")
    assert "2 files taken away" in likeness("apply", str(plan))
    assert not (photos / "0 again.png").exists()
    assert not (photos / "1 cropped.png").exists()
    assert "0 again.png" not in ready(likeness)
    kept = next(r for r in likeness.json("images") if r["path"].endswith("/1.png"))
    assert kept["tags"] == ["holiday"]

    assert "2 files brought back" in likeness("undo")
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    assert {"0 again.png", "1 cropped.png"} <= ready(likeness)
    kept = next(r for r in likeness.json("images") if r["path"].endswith("/1.png"))
    assert kept["tags"] == []
    assert likeness.json("undo", "--list")[0]["undone_at"] is not None
    assert "nothing was applied" in likeness("undo", status=2)

    likeness("duplicates", "--not-duplicates", str(ids["1.png"]), str(ids["1 cropped.png"]))
    (document,) = likeness.json("duplicates")
    assert document["group_count"] == 1


def test_a_changed_file_is_left_alone_and_listed(
    likeness: Terminal, photos: Path, tmp_path: Path
) -> None:
    likeness("index", str(photos))
    plan = tmp_path / "plan.json"
    likeness("duplicates", "--plan", str(plan))
    (photos / "0 again.png").write_bytes(b"something else")
    text = likeness("apply", str(plan), status=1)
    assert "1 files taken away, 1 left alone" in text
    assert "its bytes have changed" in text
    assert (photos / "0 again.png").read_bytes() == b"something else"


def test_new_files_are_checked_before_they_are_added(
    likeness: Terminal, photos: Path, tmp_path: Path
) -> None:
    likeness("index", str(photos))
    same, mirrored, new, broken = (tmp_path / f"{name}.png" for name in ("s", "m", "n", "b"))
    shutil.copy(photos / "2.png", same)
    Image.fromarray(np.ascontiguousarray(draw_scene(3)[:, ::-1])).save(mirrored)
    Image.fromarray(draw_scene(77)).save(new)
    broken.write_bytes(b"no picture")
    files = [str(path) for path in (same, mirrored, new, broken)]
    found = likeness.json("check", *files, status=1)
    assert [(Path(d["file"]).name, d["known"]) for d in found] == [
        ("s.png", True),
        ("m.png", True),
        ("n.png", False),
    ]
    assert found[0]["matches"][0]["relation"] == "same-bytes"
    assert found[1]["matches"][0]["evidence"]["mirrored"] is True
    assert "agree, mirrored" in likeness("check", str(mirrored))


def test_a_collection_is_clustered_named_and_corrected(
    likeness: Terminal, photos: Path, tmp_path: Path
) -> None:
    likeness("index", str(photos))
    arguments = ("cluster", "--method", "kmeans", "--clusters", "3", "--name", "mine")
    (document,) = likeness.json(*arguments)
    assert sum(cluster["size"] for cluster in document["clusters"]) == 8
    assert len({cluster["name"] for cluster in document["clusters"]}) == 3
    assert likeness.json(*arguments)[0]["clusters"] == document["clusters"]

    likeness("cluster", "--name", "mine", "--rename", "1", "Grandma's garden")
    likeness("cluster", "--name", "mine", "--merge", "0,2")
    (shown,) = likeness.json("cluster", "--show")
    assert len(shown["clusters"]) == 2
    assert "Grandma's garden" in {cluster["name"] for cluster in shown["clusters"]}
    assert "Grandma's garden *" in likeness(*arguments)
    assert [run["run"] for run in likeness.json("cluster", "--runs")] == ["mine"]
    number = next(c["number"] for c in shown["clusters"] if c["name"] == "Grandma's garden")
    members = likeness.json("cluster", "--members", str(number))
    assert members
    assert len(likeness.json("cluster", "--outliers", "2")) == 2
    assert len(likeness.json("cluster", "--zoom", "1")) == 1
    likeness("cluster", "--map", str(tmp_path / "map.json"))
    assert len(json.loads((tmp_path / "map.json").read_text())["places"]) == 8
    assert "no cluster 9" in likeness("cluster", "--rename", "9", "x", status=2)


def test_near_empty_images_are_listed(likeness: Terminal, photos: Path) -> None:
    Image.new("RGB", (80, 60)).save(photos / "lens cap.png")
    likeness("index", str(photos))
    found = likeness.json("cluster", "--empty")
    assert [(Path(d["path"]).name, d["kind"]) for d in found] == [("lens cap.png", "black")]


def save_again(source: Path, target: Path, quality: int = 85) -> None:
    """The same picture, encoded anew and with other metadata."""
    exif = Image.Exif()
    exif[271] = "Another camera"
    with Image.open(source) as image:
        image.convert("RGB").save(target, "JPEG", quality=quality, exif=exif)


def test_images_with_the_same_pixels_are_left_out_and_listed_with_the_id_they_repeat(
    likeness: Terminal, photos: Path
) -> None:
    likeness("index", str(photos))
    ids = {Path(row["path"]).name: row["id"] for row in likeness.json("images")}
    more = photos.parent / "more"
    more.mkdir()
    save_again(photos / "2.png", more / "2 retagged.jpg")
    Image.open(photos / "3.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(more / "3m.png")
    shutil.copy(photos / "4.png", more / "4 copied.png")
    Image.fromarray(draw_scene(20)).save(more / "20.png")
    save_again(more / "20.png", more / "20 retagged.jpg")
    shutil.copy(more / "20 retagged.jpg", more / "20 retagged again.jpg")
    Image.new("RGB", (240, 180), "white").save(more / "blank.png")

    (report,) = likeness.json("index", str(more), "--skip-duplicates", "same-pixels")
    assert report["counts"]["skipped"] == 4
    assert report["counts"]["stored"] == 3
    now = {Path(row["path"]).name: row["id"] for row in likeness.json("images")}
    (first_of_20,) = (name for name in set(now) - set(ids) if name.startswith("20"))
    assert set(now) - set(ids) == {"3m.png", "blank.png", first_of_20}
    assert {
        (Path(each["path"]).name, each["relation"], each["image_id"]) for each in report["skipped"]
    } >= {
        ("2 retagged.jpg", "same-pixels", ids["2.png"]),
        ("4 copied.png", "same-bytes", ids["4.png"]),
    }
    assert {each["image_id"] for each in report["skipped"]} == {
        ids["2.png"],
        ids["4.png"],
        now[first_of_20],
    }
    text = likeness("index", str(more), "--skip-duplicates", "same-pixels")
    assert "4 left out as repeating another" in text
    assert f"same-pixels: {more / '2 retagged.jpg'} repeats image {ids['2.png']}" in text
    likeness("index", str(more))  # without the option they come in
    assert len(likeness.json("images")) == len(ids) + 7


def test_a_file_retagged_in_place_is_indexed_anew_and_not_left_out(
    likeness: Terminal, photos: Path
) -> None:
    target = photos / "as jpeg.jpg"
    Image.fromarray(draw_scene(30)).save(target, quality=95)
    likeness("index", str(photos))
    save_again(target, target, quality=94)
    (report,) = likeness.json("index", str(photos), "--skip-duplicates", "same-pixels")
    assert (report["counts"]["skipped"], report["counts"]["stored"]) == (0, 1)
    assert report["counts"]["kept"] == 8


def test_only_the_same_bytes_are_left_out_when_that_is_asked(
    likeness: Terminal, photos: Path
) -> None:
    save_again(photos / "2.png", photos / "2 retagged.jpg")
    (report,) = likeness.json("index", str(photos), "--skip-duplicates", "same-bytes")
    (skipped,) = report["skipped"]
    assert skipped["relation"] == "same-bytes"
    assert {Path(skipped["path"]).name, Path(skipped["same_as"]).name} == {"0.png", "0 again.png"}
    assert report["counts"]["stored"] == 8


def test_twins_of_a_file_that_cannot_be_decoded_fail_with_it(
    likeness: Terminal, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    (report,) = likeness.json("index", str(folder), "--skip-duplicates", "same-pixels", status=1)
    assert (report["counts"]["failed"], report["counts"]["skipped"]) == (2, 0)
