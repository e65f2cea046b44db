from __future__ import annotations

from pathlib import Path

import pytest

from likeness.errors import SettingsError
from training.config import load_config


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, "utf-8")
    return path


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, 'output = "out"\n[data]\nphotos = ["mine"]\n'))
    assert config.output == tmp_path / "out"
    assert config.data.photos == (tmp_path / "mine",)


def test_whole_numbers_do_for_fractions(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, 'output = "out"\n[schedule]\nepochs = 3\n'))
    assert config.schedule.epochs == 3.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('output = "out"\n[schedule]\nepoch = 3\n', r"unknown key schedule\.epoch \(known here: "),
        ("", "output is missing"),
        ('output = "out"\n[student]\ninit = "magic"\n', "'teacher' or 'scratch'"),
        ('output = "out"\n[data]\nheld_out = "some"\n', "data.held_out = 'some' cannot be used"),
        ("output = \n", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=complaint) as raised:
        load_config(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load_config(tmp_path / "absent.toml")
