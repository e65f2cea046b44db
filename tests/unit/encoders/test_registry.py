"""Names, and that finding them is quick."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from likeness.encoders.registry import RECORDS, find, is_sole, parse_name
from likeness.errors import UnknownEncoder
from likeness.types import Tower

NAMED_IN_THE_DESIGN = [
    "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "timm:vit_small_patch14_dinov2.lvd142m",
]
FAMILIES = {
    "ViT", "DeiT", "Swin", "BEiT", "MAE", "DINO", "DINOv2", "DINOv3", "EVA-02", "CLIP", "SigLIP",
    "SigLIP 2", "MobileCLIP 2", "PE-Core",
}  # fmt: skip


def test_every_family_has_encoders() -> None:
    assert {record.family for record in RECORDS} >= FAMILIES


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large", "huge"])
def test_plain_vision_transformers_come_in_every_size(size: str) -> None:
    assert any(r.family == "ViT" and f"vit_{size}_" in r.name for r in RECORDS)


@pytest.mark.parametrize("size", ["small", "base", "large", "giant"])
@pytest.mark.parametrize("registers", ["", "reg4_"])
def test_dinov2_comes_in_every_size_with_and_without_registers(size: str, registers: str) -> None:
    find(f"timm:vit_{size}_patch14_{registers}dinov2.lvd142m")


def test_names_are_unique() -> None:
    names = [record.name for record in RECORDS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMED_IN_THE_DESIGN)
def test_names_in_the_design_are_found(name: str) -> None:
    assert find(name).name == name


def test_a_name_comes_apart_and_together_again() -> None:
    for record in RECORDS:
        parsed = parse_name(record.name)
        assert parsed.base == record.name
        assert parsed.path is None
        assert parsed.architecture == record.architecture


@pytest.mark.parametrize(
    ("name", "base", "path"),
    [
        (
            "timm:vit_tiny_patch16_224@weights.safetensors",
            "timm:vit_tiny_patch16_224",
            "weights.safetensors",
        ),
        ("open_clip:ViT-B-32/openai@/a b/c@d.pt", "open_clip:ViT-B-32/openai", "/a b/c@d.pt"),
        ("open_clip:ViT-B-32@x.pt", "open_clip:ViT-B-32", "x.pt"),
        ("likeness:tiny@folder", "likeness:tiny", "folder"),
    ],
)
def test_a_path_follows_the_first_at_sign(name: str, base: str, path: str) -> None:
    parsed = parse_name(name)
    assert (parsed.base, parsed.path) == (base, Path(path))


def test_an_architecture_named_without_weights_is_its_only_row() -> None:
    record = find("timm:vit_tiny_patch16_224@some.safetensors")
    assert record.name == "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert is_sole(record)
    assert not is_sole(find("timm:vit_base_patch16_224.mae"))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("timm:vit_small_patch14_dinov2.lvd142", "timm:vit_small_patch14_dinov2.lvd142m"),
        ("open_clip:ViT-B-32/laion2b", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("vit_small_patch14_dinov2.lvd142m", "timm:vit_small_patch14_dinov2.lvd142m"),
        ("ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownEncoder) as caught:
        find(wrong)
    assert meant in caught.value.similar
    assert meant in str(caught.value)


@pytest.mark.parametrize("wrong", ["", "timm:", ":x", "torchvision:resnet50", "timm:vit_x@"])
def test_what_is_no_name_is_refused(wrong: str) -> None:
    with pytest.raises(UnknownEncoder):
        find(wrong)


def test_any_other_model_of_the_libraries_is_found_too() -> None:
    timm = find("timm:vit_tiny_patch16_384.augreg_in21k_ft_in1k")
    assert (timm.dim, timm.input_size, timm.pooling) == (192, 384, "cls")
    clip = find("open_clip:ViT-B-32/laion400m_e32")
    assert (clip.dim, clip.input_size, clip.towers) == (512, 224, frozenset(Tower))
    assert clip.hub is not None


def test_two_tower_encoders_answer_words_and_the_others_do_not() -> None:
    for record in RECORDS:
        assert (Tower.TEXT in record.towers) == ("words" in record.purposes), record.name


def test_listing_imports_neither_torch_nor_a_model_library_and_is_quick() -> None:
    program = (
        "import sys; import likeness.encoders, likeness.encoders.catalogue, likeness.cli.models;"
        "likeness.encoders.catalogue.list_models();"
        "print([m for m in ('torch', 'timm', 'open_clip', 'huggingface_hub') if m in sys.modules])"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    # A second on an idle machine is the promise; five keep a busy one from failing the test.
    assert time.monotonic() - started < 5
