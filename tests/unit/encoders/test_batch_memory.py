"""A batch that was too large is halved, and who comes after remembers it; not for ever."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likeness.encoders import load_encoder, torch_tower
from likeness.encoders.batch_memory import GROWS_AFTER_S, BatchMemory, batch_key
from likeness.encoders.torch_tower import TorchTower

KEY, OTHER = batch_key("H100", "f" * 64, "bf16"), batch_key("H100", "e" * 64, "bf16")


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def memory_in(folder: Path) -> tuple[BatchMemory, Clock]:
    clock = Clock()
    return BatchMemory(folder / "batch-sizes.json", clock=clock), clock


def test_what_was_never_refused_is_allowed(tmp_path: Path) -> None:
    memory, _ = memory_in(tmp_path)
    assert memory.allowed(KEY, 256) == 256


def test_a_refusal_is_remembered_by_a_later_process_for_this_encoder_only(tmp_path: Path) -> None:
    memory_in(tmp_path)[0].too_large(KEY, 64)
    later, _ = memory_in(tmp_path)
    assert later.allowed(KEY, 256) == 64
    assert later.allowed(KEY, 32) == 32
    assert later.allowed(OTHER, 256) == 256


def test_one_bad_day_does_not_halve_a_host_for_ever(tmp_path: Path) -> None:
    memory, clock = memory_in(tmp_path)
    memory.too_large(KEY, 64)
    clock.now += GROWS_AFTER_S - 1
    assert memory.allowed(KEY, 256) == 64
    clock.now += 1
    assert memory.allowed(KEY, 256) == 128
    clock.now += 400 * GROWS_AFTER_S
    assert memory.allowed(KEY, 256) == 256


def test_a_clock_that_was_set_back_leaves_it_as_it_was(tmp_path: Path) -> None:
    memory, clock = memory_in(tmp_path)
    memory.too_large(KEY, 64)
    clock.now -= 10 * GROWS_AFTER_S
    assert memory.allowed(KEY, 256) == 64


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"%s": 3}', '{"%s": {"size": 0, "at": 1}}']
)
def test_a_damaged_file_is_as_none_and_is_written_anew(tmp_path: Path, text: str) -> None:
    memory, _ = memory_in(tmp_path)
    (tmp_path / "batch-sizes.json").write_text(text.replace("%s", KEY))
    assert memory.allowed(KEY, 256) == 256
    memory.too_large(KEY, 16)
    assert memory.allowed(KEY, 256) == 16


def test_where_it_cannot_be_written_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    memory = BatchMemory(tmp_path / "file" / "batch-sizes.json")
    memory.too_large(KEY, 16)
    assert memory.allowed(KEY, 256) == 256
    assert "not remembered" in caplog.text


@given(st.integers(1, 4096), st.integers(1, 4096), st.floats(-1e9, 1e9))
def test_it_never_allows_more_than_was_wanted_nor_less_than_one(
    tmp_path_factory: pytest.TempPathFactory, wanted: int, size: int, later_s: float
) -> None:
    memory, clock = memory_in(tmp_path_factory.mktemp("memory"))
    memory.too_large(KEY, size)
    clock.now += later_s
    assert min(size, wanted) <= memory.allowed(KEY, wanted) <= wanted


def _refuse(path: Path, key: str) -> None:
    memory = BatchMemory(path)
    for size in range(20, 0, -1):
        memory.too_large(key, size)


def test_processes_that_write_at_once_do_not_lose_what_the_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "batch-sizes.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_refuse, args=(path, f"key{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert [BatchMemory(path).allowed(f"key{n}", 256) for n in range(3)] == [1, 1, 1]


def small_tower(memory: BatchMemory | None, **options: object) -> TorchTower:
    encoder = load_encoder(
        "timm:vit_tiny_patch16_224", device="cpu", precision="fp32", random_seed=1,
        batch_memory=memory, **options,  # type: ignore[arg-type]
    )  # fmt: skip
    assert isinstance(encoder, TorchTower)
    return encoder


def with_room_for(
    monkeypatch: pytest.MonkeyPatch, encoder: TorchTower, most: int, error: RuntimeError
) -> list[int]:
    """Its model refuses more than so many at once; the sizes that it was given."""
    forward: Callable[[torch.Tensor], torch.Tensor] = encoder._forward
    tried: list[int] = []

    def tight(pixels: torch.Tensor) -> torch.Tensor:
        tried.append(len(pixels))
        if len(pixels) > most:
            raise error
        return forward(pixels)

    monkeypatch.setattr(encoder, "_forward", tight)
    return tried


def some_pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


REFUSALS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=["gpu", "cpu"])
def test_a_batch_without_room_is_halved_until_it_fits_and_a_new_process_begins_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    memory, _ = memory_in(tmp_path)
    encoder = small_tower(memory)
    encoder.batch_size = 8
    batch = some_pictures(8)
    expected = encoder.embed_prepared(batch)
    tried = with_room_for(monkeypatch, encoder, 2, error)
    assert np.allclose(encoder.embed_prepared(batch), expected, atol=1e-5)
    assert tried == [8, 4, 2, 2, 2, 2]
    assert encoder.batch_size == 2
    assert small_tower(memory).batch_size == 2
    assert small_tower(memory, batch_size=16).batch_size == 16  # a person's word counts more


def test_a_single_image_without_room_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = small_tower(memory_in(tmp_path)[0])
    with_room_for(monkeypatch, encoder, 0, REFUSALS[0])
    with pytest.raises(torch.OutOfMemoryError):
        encoder.embed_prepared(some_pictures(4))


def test_other_errors_of_the_model_halve_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = small_tower(memory_in(tmp_path)[0])
    size = encoder.batch_size
    with_room_for(monkeypatch, encoder, 0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        encoder.embed_prepared(some_pictures(2))
    assert encoder.batch_size == size


def test_a_process_that_lives_for_days_grows_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(torch_tower.time, "monotonic", lambda: now[0])
    encoder = small_tower(memory_in(tmp_path)[0], batch_size=8)
    with monkeypatch.context() as tight:
        with_room_for(tight, encoder, 2, REFUSALS[0])
        encoder.embed_prepared(some_pictures(8))
    sizes = []
    for _ in range(4):
        now[0] += GROWS_AFTER_S + 1
        encoder.embed_prepared(some_pictures(1))
        sizes.append(encoder.batch_size)
    assert sizes == [4, 8, 8, 8]
