"""Choices of device and precision, and words for those that cannot be had."""

from __future__ import annotations

import pytest
import torch

from likeness.encoders.devices import (
    available_bytes,
    choose_device,
    choose_precision,
    use_threads,
)
from likeness.errors import SettingsError

CPU = torch.device("cpu")


def test_automatic_choices_are_possible_here() -> None:
    device = choose_device("auto")
    assert choose_precision("auto", device) in ("fp32", "bf16", "fp16")
    assert available_bytes(device) > 0


@pytest.mark.parametrize("wrong", ["gpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_here_is_an_error(wrong: str) -> None:
    with pytest.raises(SettingsError, match="device"):
        choose_device(wrong)


@pytest.mark.parametrize("wrong", ["fp64", "half", "", "fp16"])
def test_a_precision_that_a_cpu_cannot_serve_is_an_error(wrong: str) -> None:
    with pytest.raises(SettingsError, match="precision"):
        choose_precision(wrong, CPU)


def test_a_fixed_precision_is_kept() -> None:
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(("flag", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_cpu_computes_in_bf16_only_when_it_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, flag: bool, chosen: str
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: flag)
    assert choose_precision("auto", CPU) == chosen


def test_a_number_of_threads_is_checked_and_used() -> None:
    before = torch.get_num_threads()
    use_threads(1)
    try:
        assert torch.get_num_threads() == 1
    finally:
        use_threads(before)
    with pytest.raises(SettingsError):
        use_threads(0)
