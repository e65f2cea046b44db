from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from likeness.encoders.tiny.network import build_vit, fit_weights
from likeness.errors import SettingsError, SourceError
from tests.unit.training.drawn import write_folder
from training.checkpoint import NAME, load_checkpoint
from training.config import (
    DataConfig,
    DistillConfig,
    LossConfig,
    ScheduleConfig,
    StudentConfig,
    TeacherConfig,
)
from training.distill import Distillation, run
from training.publish import averaged_student

ROOT = Path(__file__).resolve().parents[3]
ARCHITECTURE = "test_vit"  # timm's own for tests: 6 blocks of width 64
QUIET = {"report": lambda _: None}


@pytest.fixture
def config(tmp_path: Path) -> DistillConfig:
    """A run of a few seconds: drawn photos and a teacher of random weights."""
    torch.manual_seed(0)
    teacher = build_vit(ARCHITECTURE, 64, 10)
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    return DistillConfig(
        output=tmp_path / "run",
        data=DataConfig(photos=(write_folder(tmp_path / "photos", 24),), held_out=8, workers=0),
        teacher=TeacherConfig(tmp_path / "teacher.safetensors", ARCHITECTURE, 64),
        student=StudentConfig(ARCHITECTURE, 48, depth=6, copy_dim=16),
        schedule=ScheduleConfig(epochs=3, batch_size=4, warmup_steps=2),
        loss=LossConfig(queue=16),
        device="cpu",
        precision="fp32",
        checkpoint_minutes=0.0,
        evaluate_minutes=60.0,
    )


def test_a_student_starts_as_its_teacher_and_learns_copies(config: DistillConfig) -> None:
    schedule = replace(config.schedule, epochs=12, learning_rate=3e-4)
    scores = run(replace(config, schedule=schedule), **QUIET)
    assert scores.copies >= 0.5
    assert scores.cosine > 0.5
    lines = (config.output / "log.jsonl").read_text().splitlines()
    measured = [json.loads(line)["held_out"] for line in lines if "held_out" in line]
    assert len(measured) == 2
    assert measured[-1]["copies"] == scores.copies


def test_an_inherited_student_agrees_more_than_a_random_one(config: DistillConfig) -> None:
    short = replace(config, schedule=replace(config.schedule, epochs=0.25))
    inherited = run(short, **QUIET)
    scratch = replace(config.student, init="scratch")
    random_one = run(
        replace(short, student=scratch, output=config.output.with_name("scratch")), **QUIET
    )
    assert inherited.cosine > random_one.cosine


def test_a_student_of_another_shape_cannot_inherit(config: DistillConfig) -> None:
    wider = replace(config.student, architecture="vit_tiny_patch16_224")
    with pytest.raises(SettingsError, match=r'student\.init = "scratch"'):
        run(replace(config, student=wider), **QUIET)


def test_a_second_run_starts_from_the_first_blended_with_the_teacher(
    config: DistillConfig,
) -> None:
    run(config, **QUIET)
    student = replace(config.student, init="run", run=config.output, blend=0.25)
    second = Distillation(
        replace(config, student=student, output=config.output.with_name("second")), lambda _: None
    )
    first = averaged_student(config.output).state_dict()
    teacher = fit_weights(load_file(config.teacher.weights), 48, 16, 6)
    for name, weight in second.student.state_dict().items():
        wanted = first[name]
        if name.startswith("backbone."):
            wanted = 0.75 * wanted + 0.25 * teacher[name.removeprefix("backbone.")]
        assert torch.allclose(weight, wanted, atol=1e-6), name


def test_starting_from_a_run_that_is_not_there_is_an_error(config: DistillConfig) -> None:
    student = replace(config.student, init="run", run=config.output.with_name("absent"))
    with pytest.raises(SettingsError, match="absent holds no checkpoint"):
        run(replace(config, student=student), **QUIET)


def test_a_finished_run_is_not_trained_further(config: DistillConfig) -> None:
    run(config, **QUIET)
    before = averaged_student(config.output).state_dict()
    run(config, **QUIET)
    after = averaged_student(config.output).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_damaged_checkpoint_is_an_error_that_names_it(config: DistillConfig) -> None:
    config.output.mkdir()
    (config.output / NAME).write_bytes(b"PK not a checkpoint")
    with pytest.raises(SourceError, match="not a readable checkpoint"):
        run(config, **QUIET)


def test_blocks_are_kept_evenly_with_first_and_last() -> None:
    deep = build_vit(ARCHITECTURE, 64, 10).state_dict()
    shallow = build_vit(ARCHITECTURE, 48, 10, depth=3)
    fitted = fit_weights(deep, 48, 16, 3)
    shallow.load_state_dict(fitted)
    for new, old in enumerate((0, 2, 5)):
        key = "attn.qkv.weight"
        assert torch.equal(fitted[f"blocks.{new}.{key}"], deep[f"blocks.{old}.{key}"])


CHILD = """
import sys, pickle
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.config import load_config
from training.distill import run
run(load_config(Path(sys.argv[1])), report=lambda line: print(line, flush=True))
"""


def as_toml(config: DistillConfig, path: Path) -> Path:
    path.write_text(
        f"""
output = "{config.output}"
device = "cpu"
precision = "fp32"
checkpoint_minutes = 0
evaluate_minutes = 60
[data]
photos = ["{config.data.photos[0]}"]
held_out = 8
workers = 0
[teacher]
weights = "{config.teacher.weights}"
architecture = "{ARCHITECTURE}"
input_size = 64
[student]
architecture = "{ARCHITECTURE}"
input_size = 48
depth = 6
copy_dim = 16
[schedule]
epochs = 4
batch_size = 4
warmup_steps = 2
[loss]
queue = 16
""",
        "utf-8",
    )
    return path


def start(config_file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(config_file)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_run_killed_and_resumed_ends_where_an_undisturbed_one_does(
    config: DistillConfig, tmp_path: Path
) -> None:
    undisturbed = as_toml(replace(config, output=tmp_path / "whole"), tmp_path / "whole.toml")
    assert start(undisturbed).wait(300) == 0
    disturbed = as_toml(replace(config, output=tmp_path / "killed"), tmp_path / "killed.toml")
    kills = 0
    for kill_after in (3, 9):
        child = start(disturbed)
        while child.poll() is None and steps_done(tmp_path / "killed") < kill_after:
            time.sleep(0.02)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait(60)
    assert start(disturbed).wait(300) == 0
    assert kills >= 1
    whole, killed = (averaged_student(tmp_path / n).state_dict() for n in ("whole", "killed"))
    for name, tensor in whole.items():
        assert torch.allclose(tensor, killed[name], atol=1e-5), name


def steps_done(folder: Path) -> int:
    state = load_checkpoint(folder)
    return 0 if state is None else int(state["step"])
