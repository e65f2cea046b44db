"""With trained weights: accuracy as published, vectors pinned, half precision close."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from likeness.encoders import load_encoder
from likeness.encoders.torch_tower import TorchTower
from likeness.types import RgbImage

# timm alone, with its own transform, on the same files.
TIMM_TOP_1 = 79.9

# First and last four numbers of the vectors of `drawn()`, in fp32. They change only when the
# weights, the preprocessing or the pooling do, and every stored vector with them.
PINNED = {
    "checks": (0.13743, 0.02398, 0.01154, 0.03348, -0.11368, 0.01450, 0.02420, 0.20113),
    "stripes": (0.14355, -0.07208, -0.04760, 0.15043, 0.02478, 0.02559, -0.03015, 0.13166),
}
FINGERPRINT = "cb3b615201069390d861285ee2398c7a0f151934851dd4f8a9c458f0c3df4c8a"


@pytest.fixture
def weights(shared_data: Path) -> Path:
    path = shared_data / "weights" / "vit_tiny_patch16_224.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the test data")
    return path


def load(weights: Path, precision: str = "auto") -> TorchTower:
    name = f"timm:vit_tiny_patch16_224@{weights}"
    return cast(TorchTower, load_encoder(name, device="cpu", precision=precision))


def drawn() -> dict[str, RgbImage]:
    rows, columns = np.indices((300, 420))
    checks = np.where((rows // 30 + columns // 30) % 2, 230, 25).astype(np.uint8)
    stripes = (columns * 255 // 419).astype(np.uint8)
    half = np.full_like(stripes, 90)
    return {
        "checks": np.stack([checks, checks, half], axis=2),
        "stripes": np.stack([stripes, half, 255 - stripes], axis=2),
    }


def photos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"))


def rgb(path: Path) -> RgbImage:
    return np.asarray(Image.open(path).convert("RGB"))


def test_vectors_of_drawn_pictures_are_what_they_were(weights: Path) -> None:
    encoder = load(weights, "fp32")
    assert encoder.fingerprint == FINGERPRINT
    found = encoder.embed(list(drawn().values()))
    for name, vector in zip(drawn(), found, strict=True):
        np.testing.assert_allclose([*vector[:4], *vector[-4:]], PINNED[name], atol=2e-5)


def test_half_precision_moves_no_photo_far_and_company_nothing(
    weights: Path, shared_data: Path
) -> None:
    images = [rgb(path) for path in photos(shared_data / "photos")[::40]]
    full = load(weights, "fp32").embed(images)
    encoder = load(weights, "bf16")
    half = encoder.embed(images)
    assert np.sum(full * half, axis=1).min() >= 0.999
    alone = np.concatenate([encoder.embed([image]) for image in images])
    assert np.sum(alone * half, axis=1).min() >= 0.9999
    assert np.sum(encoder.embed(images[::-1])[::-1] * half, axis=1).min() >= 0.9999


@pytest.mark.slow
def test_imagenet_accuracy_is_that_of_timms_own_transform(weights: Path, shared_data: Path) -> None:
    files = photos(shared_data / "photos")
    if len(files) != 1000:
        pytest.skip("the thousand photos are not in the test data")
    encoder = load(weights)
    head = load_file(weights)
    right = 0
    for start in range(0, 1000, 50):
        batch = encoder.preprocess.batch([rgb(path) for path in files[start : start + 50]])
        with torch.inference_mode():
            features = encoder._features(encoder._pixels(batch)).float()
        classes = (features @ head["head.weight"].T + head["head.bias"]).argmax(dim=1)
        right += int((classes == torch.arange(start, start + 50)).sum())
    assert right / 10 == pytest.approx(TIMM_TOP_1, abs=0.5)
