"""`likeness eval` and `likeness explain` as a user types them; only the encoder is a fake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from likeness.cli import main as cli_main
from likeness.settings import Settings
from likeness.types import RgbImage
from tests.fakes.encoder import FakeEncoder
from tests.fakes.runtime import FakeRuntime


class PatchyEncoder(FakeEncoder):
    """With patch tokens (the pixels of each patch) and attention (their brightness)."""

    def __init__(self) -> None:
        super().__init__("fake:patches")
        self.spec = replace(self.spec, patch_grid=(8, 8), heads=1)

    def patch_tokens(self, images: Sequence[RgbImage]) -> np.ndarray:
        batch = self.preprocess.batch(images).reshape(len(images), 8, 4, 8, 4, 3)
        return batch.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), 64, 48).astype(np.float32)

    def attention(self, images: Sequence[RgbImage]) -> np.ndarray:
        bright = self.patch_tokens(images).mean(axis=2) + 1
        return (bright / bright.sum(axis=1, keepdims=True))[:, np.newaxis].astype(np.float32)


class Terminal:
    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home, self._capsys = home, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        status = cli_main.run(["--home", str(self._home), *map(str, arguments)])
        captured = self._capsys.readouterr()
        return status, captured.out, captured.err

    def json(self, *arguments: object) -> Any:
        _, out, err = self(*arguments, "--json")
        assert out, err
        return json.loads(out)


@pytest.fixture
def encoder() -> PatchyEncoder:
    return PatchyEncoder()


@pytest.fixture
def likeness(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    encoder: PatchyEncoder,
) -> Terminal:
    def runtime(settings: Settings) -> FakeRuntime:
        return FakeRuntime(settings, encoder)

    for name in ("eval", "explain", "index"):
        monkeypatch.setattr(f"likeness.cli.{name}.Runtime", runtime)
    monkeypatch.setenv("LIKENESS_DECODE_WORKERS", "1")
    return Terminal(tmp_path / "home", capsys)


def picture(theme: int, own: int) -> Image.Image:
    """An 8×8 pattern; alike for the same theme."""
    base = np.random.default_rng(theme).integers(0, 255, (8, 8, 3))
    noise = np.random.default_rng(100 + own).integers(0, 255, (8, 8, 3))
    mixed = (0.6 * base + 0.4 * noise).astype(np.uint8)
    return Image.fromarray(mixed).resize((64, 64), Image.Resampling.NEAREST)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    folder = tmp_path / "classes"
    for theme in range(3):
        (folder / f"class {theme}").mkdir(parents=True)
        for number in range(4):
            own = 10 * theme + number
            picture(theme, own).save(folder / f"class {theme}" / f"{number}.png")
    return folder


def test_a_labelled_folder_is_measured_for_each_reranker(likeness: Terminal, classes: Path) -> None:
    report = likeness.json("eval", classes)
    assert report["schema"] == "likeness.eval/1"
    assert (report["gallery"], report["queries"], report["positives"]) == (12, 12, 36)
    chains = [row["chain"] for row in report["results"]]
    assert chains == ["none", "qe", "dba", "kreciprocal", "diffusion", "mmr"]
    plain = report["results"][0]
    assert 0.8 <= plain["mean_average_precision"] <= 1
    assert plain["precision"]["1"] == plain["recall"]["1"]
    assert plain["recall"]["10"] == 1
    assert all(row["milliseconds"] >= 0 for row in report["results"])
    status, out, _ = likeness("eval", classes, "--rerank", "none", "--rerank", "qe,kreciprocal")
    assert status == 0
    assert "mAP" in out
    assert "qe,kreciprocal" in out


def test_vectors_are_kept_and_made_anew_when_a_file_changes(
    likeness: Terminal, classes: Path, encoder: PatchyEncoder
) -> None:
    first = likeness.json("eval", classes, "--rerank", "none")
    assert encoder.prepared == 12
    again = likeness.json("eval", classes, "--rerank", "none")
    assert encoder.prepared == 12
    figures = [report["results"][0]["mean_average_precision"] for report in (first, again)]
    assert figures[0] == figures[1]
    picture(9, 99).save(classes / "class 0" / "0.png")
    changed = likeness.json("eval", classes, "--rerank", "none")
    assert encoder.prepared == 24
    assert changed["results"][0]["mean_average_precision"] < figures[0]


def test_patches_are_measured_when_asked_for(likeness: Terminal, classes: Path) -> None:
    report = likeness.json("eval", classes, "--rerank", "patches", "--queries", 3)
    assert report["queries"] == 3
    assert [row["chain"] for row in report["results"]] == ["patches"]


def test_an_image_that_cannot_be_read_is_listed_and_the_rest_is_measured(
    likeness: Terminal, classes: Path
) -> None:
    (classes / "class 1" / "broken.png").write_bytes(b"no picture")
    status, out, err = likeness("eval", classes, "--rerank", "none")
    assert status == 1
    assert "13 queries" in out
    assert "broken.png" in err


def test_a_list_of_queries_is_measured(likeness: Terminal, classes: Path, tmp_path: Path) -> None:
    lines = tmp_path / "list.tsv"
    lines.write_text("class 0/0.png\tclass 0/1.png\nclass 1/0.png\tclass 1/2.png\n")
    report = likeness.json("eval", lines, "--images", classes, "--rerank", "none")
    assert (report["queries"], report["positives"]) == (2, 2)


def test_ground_truth_with_boxes_asks_by_the_box(
    likeness: Terminal, classes: Path, tmp_path: Path
) -> None:
    canvas = Image.new("RGB", (200, 64), "grey")
    canvas.paste(picture(2, 20), (100, 0))
    canvas.save(classes / "ask.jpg")
    names = [f"class {theme}/{number}.png" for theme in range(3) for number in range(4)]
    entry = {"easy": [8, 9, 10, 11], "hard": [], "junk": []}
    truth = {"imlist": names, "qimlist": ["ask"]}
    path = tmp_path / "gnd_test.json"
    path.write_text(json.dumps({**truth, "gnd": [{**entry, "bbx": [100, 0, 164, 64]}]}))
    boxed = likeness.json("eval", path, "--images", classes, "--rerank", "none")
    path.write_text(json.dumps({**truth, "gnd": [{**entry, "bbx": [0, 0, 90, 64]}]}))
    beside = likeness.json("eval", path, "--images", classes, "--rerank", "none")
    figures = [report["results"][0]["mean_average_precision"] for report in (boxed, beside)]
    assert figures[0] > 0.9 > figures[1]


def test_wrong_labels_and_rerankers_are_usage_errors(likeness: Terminal, classes: Path) -> None:
    status, _, err = likeness("eval", classes, "--rerank", "magic")
    assert status == 2
    assert "no re-ranker 'magic'" in err
    status, _, err = likeness("eval", classes / "class 0")
    assert status == 2
    assert "put each class in its folder" in err


def test_a_match_is_explained_in_words_data_and_a_picture(
    likeness: Terminal, classes: Path, tmp_path: Path
) -> None:
    likeness("index", classes)
    query = tmp_path / "mirrored.png"
    picture(1, 12).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(query)
    sheet = tmp_path / "why.png"
    wanted = None
    for image_id in range(1, 13):
        report = likeness.json("explain", image_id, "--image", query)
        if report["path"].endswith("class 1/2.png"):
            wanted = report
            status, out, _ = likeness("explain", image_id, "--image", query, "--out", sheet)
            assert status == 0
            assert "mirrored" in out
    assert wanted is not None
    assert wanted["schema"] == "likeness.explain/1"
    assert wanted["region"]["mirrored"] is True
    assert np.array(wanted["region"]["transform"]) == pytest.approx(
        np.array([[-1, 0, 1], [0, 1, 0]]), abs=0.05
    )
    assert len(wanted["attention"]["map"]) == 8
    with Image.open(sheet) as image:
        assert image.size == (3 * 400 + 24, 400)


def test_explain_needs_one_query_and_an_image_that_exists(
    likeness: Terminal, classes: Path
) -> None:
    likeness("index", classes)
    assert likeness("explain", 1)[0] == 2
    assert likeness("explain", 1, "--id", 2, "--image", "x.png")[0] == 2
    status, _, err = likeness("explain", 999, "--id", 1)
    assert status == 2
    assert "no image 999" in err
    assert likeness("explain", 1, "--id", 2)[0] == 0
