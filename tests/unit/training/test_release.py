from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from likeness.cli import main
from likeness.encoders import load_encoder
from likeness.encoders.tiny.network import build_vit, fit_weights
from likeness.encoders.tiny.tower import WEIGHTS
from likeness.errors import SettingsError, SourceError
from tests.unit.training.drawn import write_folder
from training.config import (
    DataConfig,
    DistillConfig,
    PublishConfig,
    ScheduleConfig,
    StudentConfig,
    TeacherConfig,
)
from training.distill import run
from training.publish import averaged_student
from training.release import release


@pytest.fixture
def config(tmp_path: Path) -> DistillConfig:
    torch.manual_seed(0)
    save_file(build_vit("test_vit", 64, 10).state_dict(), tmp_path / "teacher.safetensors")
    return DistillConfig(
        output=tmp_path / "run",
        data=DataConfig(photos=(write_folder(tmp_path / "photos", 12),), held_out=4, workers=0),
        teacher=TeacherConfig(tmp_path / "teacher.safetensors", "test_vit", 64),
        student=StudentConfig("test_vit", 48, depth=6, copy_dim=16),
        schedule=ScheduleConfig(epochs=1, batch_size=4),
        publish=PublishConfig(tmp_path / "mine"),
        device="cpu",
        precision="fp32",
    )


def quiet(_: str) -> None:
    return None


def test_a_users_own_run_becomes_an_encoder_that_loads_from_its_folder(
    config: DistillConfig, tmp_path: Path
) -> None:
    run(config, report=quiet)
    release(config, report=quiet)
    encoder = load_encoder(f"likeness:tiny@{tmp_path / 'mine'}", device="cpu", precision="fp32")
    image = np.zeros((50, 70, 3), np.uint8)
    assert encoder.embed([image]).shape == (1, 64)
    copies = load_encoder(f"likeness:tiny-copy@{tmp_path / 'mine'}", device="cpu")
    assert copies.embed([image]).shape == (1, 16)


def test_the_blend_is_between_the_student_and_its_teacher(
    config: DistillConfig, tmp_path: Path
) -> None:
    run(config, report=quiet)
    blended = replace(config, publish=PublishConfig(tmp_path / "mine", blend=0.6))
    release(blended, report=quiet)
    student = averaged_student(config.output).state_dict()
    teacher = fit_weights(load_file(config.teacher.weights), 48, 16, 6)
    for name, stored in load_file(tmp_path / "mine" / WEIGHTS).items():
        wanted = student[name]
        if name.startswith("backbone."):
            wanted = 0.4 * wanted + 0.6 * teacher[name.removeprefix("backbone.")]
        assert torch.allclose(stored.float(), wanted, atol=2e-3), name


def test_publishing_without_a_checkpoint_or_a_folder_is_an_error(config: DistillConfig) -> None:
    with pytest.raises(SourceError, match="holds no checkpoint"):
        release(config, report=quiet)
    with pytest.raises(SettingsError, match=r"\[publish\]"):
        release(replace(config, publish=None), report=quiet)


def test_the_command_trains_publishes_and_names_the_encoder(
    config: DistillConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text(
        f"""
        output = "{config.output}"
        precision = "fp32"
        [data]
        photos = ["{config.data.photos[0]}"]
        held_out = 4
        workers = 0
        [teacher]
        weights = "{config.teacher.weights}"
        architecture = "test_vit"
        input_size = 64
        [student]
        architecture = "test_vit"
        input_size = 48
        depth = 6
        copy_dim = 16
        [schedule]
        batch_size = 4
        """
    )
    arguments = ["distill", "--config", str(settings), "--epochs", "1", "--json"]
    status = main.run(["--home", str(tmp_path / "home"), "--device", "cpu", *arguments])
    assert status == 0
    document = json.loads(capsys.readouterr().out)
    assert document["encoder"] == f"likeness:tiny@{config.output / 'encoder'}"
    encoder = load_encoder(document["encoder"], device="cpu", precision="fp32")
    assert encoder.embed([np.zeros((50, 70, 3), np.uint8)]).shape == (1, 64)
