"""`likeness search` with re-rankers, the cut by p, a crop and pages; only the encoder is a fake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from likeness.cli import main as cli_main
from tests.fakes.encoder import FakeEncoder
from tests.fakes.runtime import FakeRuntime

COUNT = 60


def picture(number: int) -> Image.Image:
    cells = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((64, 64), Image.Resampling.NEAREST)


def test_search_takes_rerankers_a_cut_a_crop_and_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("index", "search"):
        monkeypatch.setattr(
            f"likeness.cli.{name}.Runtime", lambda settings: FakeRuntime(settings, FakeEncoder())
        )
    monkeypatch.setenv("LIKENESS_DECODE_WORKERS", "1")

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli_main.run(["--home", str(tmp_path / "home"), *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    def search(*arguments: object) -> Any:
        status, out, err = run("search", *arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    def names(answer: Any) -> list[str]:
        return [Path(hit["path"]).stem for hit in answer["hits"]]

    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        picture(number).save(folder / f"{number}.png")
    assert run("index", folder)[0] == 0
    query = tmp_path / "query.png"
    both = Image.new("RGB", (128, 64))
    both.paste(picture(7), (0, 0))
    both.paste(picture(21), (64, 0))
    both.save(query)

    assert names(search("--image", query, "--crop", "0,0,0.5,1", "-k", 1)) == ["7"]
    right = search("--image", query, "--crop", "0.5,0,1,1", "--max-false", "0.05")
    assert names(right) == ["21"]
    assert right["hits"][0]["p"] < 0.05
    status, _, err = run("search", "--image", query, "--crop", "0,0,half,1")
    assert status == 2
    assert "four numbers" in err

    reranked = search("--image", query, "--rerank", "qe,kreciprocal", "-k", COUNT)
    assert reranked["rerank"] == ["qe", "kreciprocal"]
    assert len(names(reranked)) == COUNT
    status, _, err = run("search", "--image", query, "--rerank", "qe,magic")
    assert status == 2
    assert "no re-ranker 'magic'" in err

    first = search("--image", query, "-k", 40)
    second = search("--image", query, "-k", 40, "--after", first["next_cursor"])
    assert names(first) + names(second) == names(search("--image", query, "-k", COUNT))
    assert second["next_cursor"] is None

    status, out, _ = run("search", "--image", query, "--crop", "0,0,0.5,1", "-k", 3)
    assert status == 0
    assert " p " in out.splitlines()[0]
    status, _, err = run("search", "red", "--max-false", "0.01")
    assert status == 2
    assert "known for pictures" in err
