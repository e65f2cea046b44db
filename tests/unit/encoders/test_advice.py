"""Estimates of memory, recommendations, and the command that shows both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.embed_memory import measured_bytes
from likeness.cli.models import models
from likeness.encoders.advise import advise, parse_memory
from likeness.encoders.catalogue import list_models
from likeness.encoders.memory import activation_bytes, batch_that_fits, weights_bytes
from likeness.encoders.records import Purpose
from likeness.encoders.registry import RECORDS, find
from likeness.errors import InputError

GIB = 1 << 30
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*arguments: str) -> Result:
        settings = SimpleNamespace(weights=tmp_path)
        return CliRunner().invoke(models, arguments, obj=settings, standalone_mode=False)

    return invoke


def test_weights_take_their_number_times_their_size() -> None:
    record = find("open_clip:ViT-B-32/openai")
    assert weights_bytes(record, "fp32") == 4 * (87_849_216 + 63_428_097)
    assert weights_bytes(record, "bf16") == 2 * (87_849_216 + 63_428_097)


@given(st.sampled_from(RECORDS), st.integers(0, 64 * GIB), st.sampled_from([1, 8, 32, 256]))
def test_a_chosen_batch_is_a_power_of_two_that_fits_or_one(
    record: object, available: int, cap: int
) -> None:
    batch = batch_that_fits(record, available, "bf16", cap)  # type: ignore[arg-type]
    assert batch & (batch - 1) == 0
    assert 1 <= batch <= cap
    needs = weights_bytes(record, "bf16") + activation_bytes(record, batch, "bf16")  # type: ignore[arg-type]
    assert batch == 1 or needs <= available


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 * GIB), ("512M", GIB // 2), ("1.5g", 3 * GIB // 2), ("4GiB", 4 * GIB), ("100", 100)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "4 GG", "0", "lots"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="4G"):
        parse_memory(text)


@pytest.mark.parametrize("task", list(Purpose))
@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("memory", [GIB, 4 * GIB, 16 * GIB, 80 * GIB])
def test_advice_suits_the_task_and_fits_the_memory(task: Purpose, device: str, memory: int) -> None:
    advice = advise(task, device, memory)  # type: ignore[arg-type]
    assert task in advice.choice.record.purposes
    needed = advice.choice.full if device == "cpu" else advice.choice.half
    assert needed.total <= memory
    assert len(advice.reasons) == 4
    assert all(advice.reasons)


def test_more_memory_never_makes_the_advice_worse() -> None:
    figures = [
        advise(Purpose.WORDS, "gpu", memory).choice.record.zero_shot or 0.0
        for memory in (GIB, 2 * GIB, 8 * GIB, 40 * GIB)
    ]
    assert figures == sorted(figures)


def test_too_little_memory_names_the_smallest() -> None:
    with pytest.raises(InputError, match=r"smallest, open_clip:PE-Core-T-16-384/meta"):
        advise(
            Purpose.WORDS, "cpu", 100_000_000, records=[r for r in RECORDS if "tiny" not in r.name]
        )


def test_restricted_weights_come_with_a_free_choice_beside() -> None:
    advice = advise(Purpose.LOOK, "cpu", 4 * GIB)
    assert advice.choice.record.licence == "DINOv3"
    assert advice.without_strings is not None
    assert advice.without_strings.record.licence in ("Apache-2.0", "MIT")


def test_weights_that_are_here_are_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "vit_tiny_patch16_224.safetensors").touch()
    records = [record for record in RECORDS if record.library != "likeness"]
    advice = advise(Purpose.LOOK, "cpu", 4 * GIB, weights_dir=tmp_path, records=records)
    assert advice.here is not None
    assert advice.here.record.architecture == "vit_tiny_patch16_224"


def test_the_list_says_everything_of_each_encoder(tmp_path: Path) -> None:
    for row in list_models(tmp_path, batch=4):
        assert row.batch == 4
        assert 0 < row.half.weights < row.full.weights
        assert 0 < row.half.activations < row.full.activations
        assert row.record.licence != "unknown"
        assert row.record.purposes


def test_the_command_lists_every_encoder(run: Run) -> None:
    result = run()
    assert result.exit_code == 0
    for record in RECORDS:
        assert record.name in result.stdout
    assert "licence" in result.stdout


def test_the_command_lists_only_encoders_for_a_task(run: Run) -> None:
    document = json.loads(run("--task", "words", "--json").stdout)
    assert document["schema"] == "likeness.models/1"
    assert all("words" in row["purposes"] for row in document["models"])
    assert {"name", "bytes", "licence", "here", "mirror_file"} <= document["models"][0].keys()


def test_the_command_recommends_one_and_says_why(run: Run) -> None:
    result = run("--advise", "--task", "copies", "--device", "cpu", "--memory", "4G")
    assert result.exit_code == 0
    first, *reasons = result.stdout.splitlines()
    assert "copies" in find(first).purposes
    assert len([line for line in reasons if line.startswith("  - ")]) == 4
    document = json.loads(
        run("--advise", "--task", "copies", "--device", "cpu", "--memory", "4G", "--json").stdout
    )
    assert document["choice"]["name"] == first


@pytest.mark.parametrize(
    "arguments", [("--advise",), ("--advise", "--task", "words"), ("--memory", "4G")]
)
def test_options_that_need_each_other_say_so(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, InputError)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", "bf16"),
        ("timm:vit_small_patch14_reg4_dinov2.lvd142m", "fp32"),
        ("timm:swin_tiny_patch4_window7_224.ms_in22k_ft_in1k", "fp32"),
    ],
)
def test_estimated_activations_are_near_the_measured_peak(name: str, precision: str) -> None:
    estimate = activation_bytes(find(name), 16, precision)  # type: ignore[arg-type]
    measured = measured_bytes(name, precision, 16)
    assert 0.6 <= estimate / measured <= 1.7
