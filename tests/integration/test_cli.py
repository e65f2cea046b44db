"""The commands as a user types them, in process; only the encoder is a fake."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from likeness.cli import main as cli_main
from likeness.settings import Settings
from tests.fakes.encoder import COLOURS, FakeEncoder
from tests.fakes.pictures import draw_picture, write_pictures
from tests.fakes.runtime import FakeRuntime

_MODULES = ("index", "search", "status", "images", "collections", "remove", "reindex")


class Terminal:
    """Runs commands and keeps what they print."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home, self._capsys = home, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        status = cli_main.run(["--home", str(self._home), *arguments])
        captured = self._capsys.readouterr()
        return status, captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        status, out, err = self(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)


@pytest.fixture
def likeness(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    def runtime(settings: Settings) -> FakeRuntime:
        return FakeRuntime(settings, FakeEncoder(), FakeEncoder("fake:second", seed=1))

    for name in _MODULES:
        monkeypatch.setattr(f"likeness.cli.{name}.Runtime", runtime)
    monkeypatch.setenv("LIKENESS_DECODE_WORKERS", "1")
    return Terminal(tmp_path / "home", capsys)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_pictures(folder, 12)
    return folder


def test_indexing_reports_what_became_of_each_image(likeness: Terminal, photos: Path) -> None:
    status, out, _ = likeness("index", str(photos))
    assert status == 0
    assert "12 embedded" in out
    assert "fake:colours" in out
    assert "12 unchanged" in likeness("index", str(photos))[1]


def test_failures_give_status_one_and_are_listed(likeness: Terminal, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    status, out, err = likeness("index", str(photos))
    assert status == 1
    assert "1 failed" in out
    assert "broken.jpg" in err
    status, out, _ = likeness("images", "--failed")
    assert status == 0
    assert "corrupt" in out
    assert "broken.jpg" in out


def test_an_input_error_gives_status_two_and_no_traceback(likeness: Terminal) -> None:
    status, out, err = likeness("index", "/no/such/folder")
    assert (status, out) == (2, "")
    assert err.startswith("error: /no/such/folder")
    assert "Traceback" not in err


def test_an_unknown_collection_is_named_with_the_known_ones(
    likeness: Terminal, photos: Path
) -> None:
    likeness("index", str(photos))
    status, _, err = likeness("images", "--collection", "holidays")
    assert status == 2
    assert "'holidays'" in err
    assert "default" in err


def test_index_answers_in_json(likeness: Terminal, photos: Path) -> None:
    document = likeness.json("index", str(photos))
    assert document["schema"] == "likeness.index/1"
    assert document["counts"]["stored"] == 12
    assert document["encoders"] == ["fake:colours"]
    assert document["complete"] is True


def test_status_tells_collections_spaces_and_index(likeness: Terminal, photos: Path) -> None:
    likeness("index", str(photos))
    (collection,) = likeness.json("status")["collections"]
    assert collection["ready"] == 12
    (space,) = collection["spaces"]
    assert space["encoder"] == "fake:colours"
    assert space["answers"] == ["image", "text"]
    assert space["index"]["images"] == 12
    assert "12 ready" in likeness("status")[1]


def test_settings_are_printed_with_their_origin(
    likeness: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_DATABASE_URL", "postgresql+psycopg://me:secret@db/likeness")
    settings = likeness.json("--device", "cpu", "status", "--settings")["settings"]
    assert settings["device"] == {"value": "cpu", "from": "flag"}
    assert settings["database_url"]["from"] == "LIKENESS_DATABASE_URL"
    assert "secret" not in settings["database_url"]["value"]
    assert settings["max_pixels"]["from"] == "default"


def test_images_are_tagged_filtered_and_listed_as_json_lines(
    likeness: Terminal, photos: Path
) -> None:
    likeness("index", str(photos))
    likeness("images", "--where", "format:png", "--tag", "flat")
    status, out, _ = likeness("images", "--where", "tag:flat", "--json")
    assert status == 0
    documents = [json.loads(line) for line in out.splitlines()]
    assert len(documents) == 4
    assert all(document["format"] == "png" for document in documents)
    assert all(document["tags"] == ["flat"] for document in documents)


def test_a_filter_that_does_not_parse_points_at_the_character(
    likeness: Terminal, photos: Path
) -> None:
    likeness("index", str(photos))
    status, _, err = likeness("images", "--where", "width:>=abc")
    assert status == 2
    assert "width:>=abc" in err
    assert "^" in err


def test_removed_images_are_gone_and_their_files_stay(likeness: Terminal, photos: Path) -> None:
    likeness("index", str(photos))
    first = json.loads(likeness("images", "--limit", "1", "--json")[1])
    assert likeness.json("remove", str(first["id"]))["removed"] == 1
    assert Path(first["path"]).exists()
    assert likeness.json("status")["collections"][0]["ready"] == 11
    status, _, err = likeness("remove", "9999")
    assert status == 2
    assert "9999" in err


def test_removed_images_stay_out_until_they_are_restored(likeness: Terminal, photos: Path) -> None:
    likeness("index", str(photos))
    first = json.loads(likeness("images", "--limit", "1", "--json")[1])
    likeness("remove", str(first["id"]))
    assert likeness.json("index", str(photos))["counts"]["removed"] == 1
    assert likeness.json("status")["collections"][0]["ready"] == 11
    assert likeness.json("index", str(photos), "--restore")["counts"]["moved"] == 1
    restored = [json.loads(line) for line in likeness("images", "--json")[1].splitlines()]
    assert len(restored) == 12
    assert first["id"] in {document["id"] for document in restored}


def test_removing_by_filter_needs_a_yes(likeness: Terminal, photos: Path) -> None:
    likeness("index", str(photos))
    assert likeness.json("remove", "--where", "format:png", "--yes")["removed"] == 4


def test_reindex_rebuilds_adds_an_encoder_and_retries(likeness: Terminal, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    likeness("index", str(photos))
    assert likeness.json("reindex")["published"]
    assert likeness.json("reindex", "--encoder", "fake:second")["counts"]["filled"] == 12
    draw_picture(70).save(photos / "broken.jpg")
    assert likeness.json("reindex", "--failed")["counts"]["stored"] == 1


def test_collections_are_made_listed_and_deleted(likeness: Terminal, photos: Path) -> None:
    likeness("index", str(photos), "--collection", "trip")
    names = [
        row["name"] for row in likeness.json("collections", "--create", "empty")["collections"]
    ]
    assert names == ["empty", "trip"]
    rest = likeness.json("collections", "--delete", "trip", "--yes")["collections"]
    assert [row["name"] for row in rest] == ["empty"]
    assert len(list(photos.rglob("*.*"))) == 12


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_stores_what_was_read_and_gives_status_130(
    likeness: Terminal, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(FakeEncoder):
        def embed_prepared(self, batch: Any) -> Any:
            if not self.prepared:
                os.kill(os.getpid(), signal.SIGINT)
            return super().embed_prepared(batch)

    write_pictures(photos, 600)

    def interrupted(settings: Settings) -> FakeRuntime:
        return FakeRuntime(settings, Interrupted(batch_size=2))

    with monkeypatch.context() as patched:
        patched.setattr("likeness.cli.index.Runtime", interrupted)
        status, out, err = likeness("index", str(photos))
    assert status == 130
    assert "stopping" in err
    assert "run again to continue" in out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert likeness("index", str(photos))[0] == 0
    assert likeness.json("status")["collections"][0]["ready"] == 600


@pytest.fixture
def flags(tmp_path: Path, likeness: Terminal) -> Path:
    """Four plain pictures, indexed: red.png, green.png, blue.png, yellow.png."""
    folder = tmp_path / "flags"
    folder.mkdir()
    for name in ("red", "green", "blue", "yellow"):
        Image.new("RGB", (64, 48), COLOURS[name]).save(folder / f"{name}.png")
    likeness("index", str(folder))
    return folder


def found(likeness: Terminal, *arguments: str) -> list[str]:
    """File names of the answers, best first."""
    status, out, err = likeness("search", *arguments, "--paths")
    assert status == 0, err
    return [Path(line).stem for line in out.splitlines()]


def test_words_find_what_they_name(likeness: Terminal, flags: Path) -> None:
    assert found(likeness, "something", "blue")[0] == "blue"
    assert found(likeness, "red", "-k", "1") == ["red"]


def test_a_picture_finds_itself_first(likeness: Terminal, flags: Path) -> None:
    assert found(likeness, "--image", str(flags / "green.png"))[0] == "green"


def test_several_terms_with_weights_and_negatives_are_weighed(
    likeness: Terminal, flags: Path
) -> None:
    red, yellow = str(flags / "red.png"), str(flags / "yellow.png")
    assert found(likeness, "--image", f"{red}^3", "--image", yellow)[0] == "red"
    assert found(likeness, "--image", red, "--image", f"{yellow}^3")[0] == "yellow"
    assert found(likeness, "yellow", "--not", "green^0.9", "-k", "4")[-1] in {"green", "blue"}


def test_a_stored_image_is_asked_by_id_and_not_among_its_answers(
    likeness: Terminal, flags: Path
) -> None:
    rows = [json.loads(line) for line in likeness("images", "--json")[1].splitlines()]
    red = next(row for row in rows if row["path"].endswith("red.png"))
    names = found(likeness, "--id", str(red["id"]))
    assert sorted(names) == ["blue", "green", "yellow"]


def test_filters_narrow_the_answers_exactly(likeness: Terminal, flags: Path) -> None:
    assert sorted(found(likeness, "red", "--where", "path:*e?.png OR path:*green*")) == [
        "green",
        "red",
    ]
    assert found(likeness, "red", "--where", "width:>9000") == []


def test_search_answers_in_json_with_encoder_rank_score_and_facts(
    likeness: Terminal, flags: Path
) -> None:
    document = likeness.json("search", "blue", "-k", "2")
    assert document["schema"] == "likeness.search/1"
    assert document["encoder"] == "fake:colours"
    first, second = document["hits"]
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["score"] >= second["score"]
    assert (first["width"], first["height"], first["format"]) == (64, 48, "png")


def test_a_query_picture_that_is_no_picture_is_an_error_that_names_it(
    likeness: Terminal, flags: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    status, _, err = likeness("search", "--image", str(tmp_path / "notes.txt"))
    assert status == 2
    assert "notes.txt" in err
    assert likeness("search", "--image", str(tmp_path / "missing.jpg"))[0] == 2
    assert likeness("search")[0] == 2
    assert likeness("search", "--id", "seven")[0] == 2


def test_a_contact_sheet_shows_query_and_answers(
    likeness: Terminal, flags: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    (flags / "yellow.png").unlink()
    status, _, err = likeness(
        "search", "--image", str(flags / "red.png"), "--not", "green", "--sheet", str(sheet)
    )
    assert status == 0, err
    with Image.open(sheet) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
        assert image.width > 600
    assert {COLOURS["red"], COLOURS["blue"]} <= colours
    assert COLOURS["yellow"] not in colours  # indexed, but its file has vanished
