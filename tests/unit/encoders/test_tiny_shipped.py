"""The very model that ships: its vectors are pinned, so that no change of code or files goes
unnoticed by collections that were embedded with it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from likeness.encoders import load_encoder
from likeness.encoders.tiny.tower import FOLDER, TEXT, VOCABULARY, WEIGHTS, TinyTower
from likeness.types import RgbImage

FINGERPRINTS = {
    "likeness:tiny": "c822d4c80a97775a05e7f315401dda97d191d1d9673b81bf4107137c9390b27d",
    "likeness:tiny-copy": "8fed1b699b87486bafba33c0cd14ad21ece2780662711fda2d86973f0bdc96ba",
}
IMAGE = {
    "likeness:tiny": (
        (0.1398, 0.0035, 0.0004, 0.0784, 0.0407, -0.0568),
        (-0.1096, 0.0188, 0.0227, -0.0074, 0.0552, 0.0477),
    ),
    "likeness:tiny-copy": (
        (0.1356, 0.035, 0.0481, 0.0017, 0.1097, -0.0717),
        (-0.0279, -0.1614, 0.114, -0.0688, 0.0753, -0.013),
    ),
}
RED_BALL = (-0.1797, 0.0776, 0.1184, 0.0823, 0.0896, -0.324)  # from entry 192 on


@pytest.fixture(scope="module")
def tiny() -> TinyTower:
    encoder = load_encoder("likeness:tiny", device="cpu", precision="fp32")
    assert isinstance(encoder, TinyTower)
    return encoder


def drawn() -> RgbImage:
    """200 x 300: gradients, a chequered blue channel, a red rectangle."""
    y, x = np.mgrid[0:200, 0:300]
    channels = (x * 255 // 299, y * 255 // 199, ((x // 20 + y // 20) % 2) * 255)
    picture: npt.NDArray[np.uint8] = np.stack(channels, -1).astype(np.uint8)
    picture[60:140, 100:200] = (220, 40, 40)
    return picture


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprint_and_vector_of_a_drawn_image_are_those_published(name: str) -> None:
    encoder = load_encoder(name, device="cpu", precision="fp32")
    assert encoder.fingerprint == FINGERPRINTS[name]
    vector = encoder.embed([drawn()])[0]
    first, last = IMAGE[name]
    assert np.allclose(vector[:6], first, atol=2e-3)
    assert np.allclose(vector[-6:], last, atol=2e-3)


def test_vector_of_a_sentence_is_the_one_published(tiny: TinyTower) -> None:
    vector = tiny.embed_texts(["a red ball on the grass"])[0]
    assert not vector[:192].any()
    assert np.allclose(vector[192:198], RED_BALL, atol=1e-4)


def test_half_precision_gives_nearly_the_same_vector(tiny: TinyTower) -> None:
    half = load_encoder("likeness:tiny", device="cpu", precision="bf16")
    assert float(half.embed([drawn()])[0] @ tiny.embed([drawn()])[0]) > 0.999


def test_it_is_as_small_as_promised(tiny: TinyTower) -> None:
    sizes = {p.name: p.stat().st_size for p in FOLDER.iterdir() if p.is_file()}
    assert sizes[WEIGHTS] <= 12 * 2**20
    assert sizes[TEXT] + sizes[VOCABULARY] <= 8 * 2**20
    assert sum(p.numel() for p in tiny.model.parameters()) <= 6_000_000
    assert tiny.spec.dim == 448


def test_words_are_near_what_they_mean(tiny: TinyTower) -> None:
    words = tiny.embed_texts(["puppy", "dog", "guitar", "musical instrument", "sailing boat"])
    scores = words @ words.T
    assert scores[0, 1] > 0.4 > scores[0, 2]
    assert scores[2, 3] > 0.4 > scores[2, 4]


def test_its_record_is_true(tiny: TinyTower) -> None:
    parameters = sum(p.numel() for p in tiny.model.backbone.parameters())
    without_classifier = parameters - sum(p.numel() for p in tiny.model.backbone.head.parameters())
    assert tiny.record.dim == tiny.spec.dim
    assert tiny.record.input_size == tiny.spec.input_size
    assert tiny.record.parameters >= without_classifier
    grid = tiny.spec.patch_grid
    assert grid is not None
    assert tiny.record.shape.tokens == grid[0] * grid[1] + 1


def test_it_needs_no_language_model_at_run_time() -> None:
    code = (
        "import sys, json; from likeness.encoders import load_encoder; "
        "load_encoder('likeness:tiny', device='cpu').embed_texts(['a dog']); "
        "print(json.dumps([m for m in sys.modules if m.startswith(('gt_all', 'transformers', "
        "'sentence_transformers', 'training'))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
