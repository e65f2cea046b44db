"""Weights from files: all of them or none."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from likeness.encoders import load_encoder
from likeness.encoders.checkpoint import load_error_mismatches, read_tensors
from likeness.errors import WeightsMismatch, WeightsNotFound, WeightsUnreadable
from likeness.types import RgbImage

TINY = "timm:vit_tiny_patch16_224"
IMAGES: list[RgbImage] = [
    np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8) for seed in range(2)
]

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    torch.manual_seed(7)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def vectors(name: str) -> np.ndarray:
    return load_encoder(name, device="cpu", precision="fp32").embed(IMAGES)


def refusal(path: Path, name: str = TINY) -> WeightsMismatch:
    with pytest.raises(WeightsMismatch) as caught:
        load_encoder(f"{name}@{path}", device="cpu", precision="fp32")
    return caught.value


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_ema"])
def test_pytorch_files_load_as_safetensors_do(
    tmp_path: Path, tensors: Tensors, suffix: str, wrapper: str | None
) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    held: Any = {wrapper: tensors, "epoch": 3} if wrapper else tensors
    torch.save(held, tmp_path / f"a.{suffix}")
    expected = read_tensors(tmp_path / "a.safetensors")
    found = read_tensors(tmp_path / f"a.{suffix}")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_prefixes_of_parallel_and_compiled_training_are_taken_off(
    tmp_path: Path, tensors: Tensors
) -> None:
    torch.save({f"module.{k}": v for k, v in tensors.items()}, tmp_path / "a.pt")
    assert read_tensors(tmp_path / "a.pt").keys() == tensors.keys()


def test_the_old_file_format_of_pytorch_loads(tmp_path: Path, tensors: Tensors) -> None:
    torch.save(tensors, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert read_tensors(tmp_path / "a.pt").keys() == tensors.keys()


class Malice:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch should-not-exist",)


def test_a_file_that_wants_to_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Malice()}, tmp_path / "evil.pt")
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(Malice()))
    for name in ("evil.pt", "evil.bin"):
        with pytest.raises(WeightsUnreadable):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "should-not-exist").exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
@pytest.mark.parametrize("damage", ["empty", "noise", "half"])
def test_a_damaged_file_is_refused_with_its_name(
    tmp_path: Path, tensors: Tensors, name: str, damage: str
) -> None:
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    whole = path.read_bytes()
    content = {"empty": b"", "noise": os.urandom(5000), "half": whole[: len(whole) // 2]}
    path.write_bytes(content[damage])
    with pytest.raises(WeightsUnreadable) as caught:
        load_encoder(f"{TINY}@{path}")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3}, {}, "text", torch.zeros(3)])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(WeightsUnreadable):
        read_tensors(tmp_path / "a.pt")


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises((WeightsUnreadable, WeightsNotFound), match=r"gone\.safetensors"):
        load_encoder(f"{TINY}@{tmp_path / 'gone.safetensors'}")


def test_the_classifier_may_be_of_any_size_or_missing(tmp_path: Path, tensors: Tensors) -> None:
    save_file(tensors, tmp_path / "ten.safetensors")
    bare = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    save_file(bare, tmp_path / "bare.safetensors")
    many = bare | {"head.weight": torch.ones(1000, 192), "head.bias": torch.ones(1000)}
    save_file(many, tmp_path / "many.safetensors")
    files = [f"{TINY}@{tmp_path / f'{name}.safetensors'}" for name in ("ten", "bare", "many")]
    expected = vectors(files[0])
    for file in files[1:]:
        np.testing.assert_array_equal(vectors(file), expected)
    assert len({load_encoder(file).fingerprint for file in files}) == 1


def test_swin_without_its_classifier_loads_right(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5).eval()
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(tensors, tmp_path / "head.safetensors")
    bare = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    save_file(bare, tmp_path / "bare.safetensors")
    name = "timm:swin_tiny_patch4_window7_224.ms_in22k_ft_in1k"
    np.testing.assert_array_equal(
        vectors(f"{name}@{tmp_path / 'bare.safetensors'}"),
        vectors(f"{name}@{tmp_path / 'head.safetensors'}"),
    )


def test_a_missing_tensor_is_named_and_nothing_is_loaded(tmp_path: Path, tensors: Tensors) -> None:
    short = {name: value for name, value in tensors.items() if "blocks.3.mlp" not in name}
    save_file(short, tmp_path / "a.safetensors")
    error = refusal(tmp_path / "a.safetensors")
    assert any("blocks.3.mlp.fc1.weight" in line for line in error.mismatches)
    assert "nothing was loaded" in str(error)


def test_a_tensor_too_many_is_named(tmp_path: Path, tensors: Tensors) -> None:
    save_file(tensors | {"blocks.12.norm1.weight": torch.ones(192)}, tmp_path / "a.safetensors")
    error = refusal(tmp_path / "a.safetensors")
    assert error.mismatches == ("blocks.12.norm1.weight is not in the architecture",)


def test_position_embeddings_of_another_input_size_are_not_resampled_in_silence(
    tmp_path: Path, tensors: Tensors
) -> None:
    save_file(tensors | {"pos_embed": torch.zeros(1, 577, 192)}, tmp_path / "a.safetensors")
    error = refusal(tmp_path / "a.safetensors")
    assert error.mismatches == (
        "pos_embed is [1, 577, 192] in the file, [1, 197, 192] in the architecture",
    )


def test_weights_of_another_architecture_are_refused(tmp_path: Path, tensors: Tensors) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    small = refusal(tmp_path / "a.safetensors", "timm:vit_small_patch16_224.dino")
    assert "384" in str(small)
    clip = refusal(tmp_path / "a.safetensors", "open_clip:ViT-B-32/openai")
    assert clip.mismatches
    swin = refusal(tmp_path / "a.safetensors", "timm:swin_tiny_patch4_window7_224.ms_in1k")
    assert swin.mismatches


def test_siglip_without_its_pooling_head_is_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    # timm itself loads this architecture with strict=False.
    name = "vit_base_patch32_siglip_gap_256"
    model = timm.create_model(name, num_classes=0)
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    del tensors["blocks.5.attn.qkv.weight"]
    save_file(tensors, tmp_path / "a.safetensors")
    error = refusal(tmp_path / "a.safetensors", f"timm:{name}.v2_webli")
    assert error.mismatches == ("blocks.5.attn.qkv.weight is missing",)


def test_a_checkpoint_in_the_layout_of_its_authors_is_converted(tmp_path: Path) -> None:
    # DINOv2's own files carry a mask token and no head; timm's layout has neither.
    torch.manual_seed(5)
    name = "timm:vit_small_patch14_dinov2.lvd142m"
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0).eval()
    ours = {key: value.clone() for key, value in model.state_dict().items()}
    theirs = {key.replace("ls1.gamma", "ls1.gamma"): value for key, value in ours.items()} | {
        "mask_token": torch.zeros(1, 384)
    }
    save_file(ours, tmp_path / "ours.safetensors")
    torch.save(theirs, tmp_path / "theirs.pth")
    first = load_encoder(f"{name}@{tmp_path / 'ours.safetensors'}", precision="fp32")
    second = load_encoder(f"{name}@{tmp_path / 'theirs.pth'}", precision="fp32")
    assert first.fingerprint == second.fingerprint


def test_mismatches_are_read_out_of_torchs_message() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))
    state = cast(dict[str, torch.Tensor], dict(layer.state_dict()))
    state["0.weight"] = torch.zeros(5, 2)
    del state["1.bias"]
    state["extra"] = torch.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        layer.load_state_dict(state)
    assert load_error_mismatches(caught.value) == [
        "1.bias is missing",
        "extra is not in the architecture",
        "0.weight is [5, 2] in the file, [3, 2] in the architecture",
    ]


def test_a_mirror_directory_supplies_weights(tmp_path: Path, tensors: Tensors) -> None:
    save_file(tensors, tmp_path / "vit_tiny_patch16_224.safetensors")
    from_mirror = load_encoder(
        "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", weights_dir=tmp_path, offline=True
    )
    from_file = load_encoder(f"{TINY}@{tmp_path / 'vit_tiny_patch16_224.safetensors'}")
    assert from_mirror.fingerprint == from_file.fingerprint


def test_the_fingerprint_changes_with_one_weight_and_not_with_precision(
    tmp_path: Path, tensors: Tensors
) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    other = dict(tensors)
    other["norm.bias"] = tensors["norm.bias"].clone()
    other["norm.bias"][0] += 1e-3
    save_file(other, tmp_path / "b.safetensors")
    a32 = load_encoder(f"{TINY}@{tmp_path / 'a.safetensors'}", precision="fp32")
    a16 = load_encoder(f"{TINY}@{tmp_path / 'a.safetensors'}", precision="bf16")
    b32 = load_encoder(f"{TINY}@{tmp_path / 'b.safetensors'}", precision="fp32")
    assert a32.fingerprint == a16.fingerprint != b32.fingerprint
    assert len(a32.fingerprint) == 64
