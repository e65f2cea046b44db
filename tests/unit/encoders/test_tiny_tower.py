from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from likeness.encoders import load_encoder
from likeness.encoders.tiny.network import NetworkConfig, TinyNetwork, normalise
from likeness.encoders.tiny.text import UNKNOWN
from likeness.encoders.tiny.tower import (
    MANIFEST,
    TEXT,
    VOCABULARY,
    WEIGHTS,
    TinyTower,
    file_digest,
)
from likeness.errors import (
    NoTextTower,
    WeightsMismatch,
    WeightsNotFound,
    WeightsUnreadable,
)
from likeness.types import Tower
from training.publish import TextParts, publish
from training.words.text_table import TextTable

PIECES = [UNKNOWN, "red", "ball", "blue", "sky"]
SHAPE = NetworkConfig("test_vit", 48, 6, classes=10, copy_dim=16, text_hidden=12, text_dim=8)


def small_model(folder: Path, *, words: bool = True) -> Path:
    """A model of random weights, published as training does it."""
    torch.manual_seed(0)
    config = SHAPE if words else NetworkConfig("test_vit", 48, 6, classes=10, copy_dim=16)
    vectors = torch.randn(len(PIECES), 8)
    vectors[0] = 0
    text = TextParts(TextTable(PIECES, vectors), torch.randn(10, 8)) if words else None
    publish(TinyNetwork(config), text, folder, look=0.36, crop_pct=0.95)
    return folder


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (60 + 7 * i, 80, 3), dtype=np.uint8) for i in range(n)]


def load(folder: Path, name: str = "tiny", **options: object) -> TinyTower:
    encoder = load_encoder(f"likeness:{name}@{folder}", device="cpu", **options)  # type: ignore[arg-type]
    assert isinstance(encoder, TinyTower)
    return encoder


def test_an_image_is_its_class_feature_beside_its_words(tmp_path: Path) -> None:
    encoder = load(small_model(tmp_path), precision="fp32")
    images = pictures(3)
    vectors = encoder.embed(images)
    network = encoder.model
    with torch.inference_mode():
        features = network.features(normalise(torch.from_numpy(encoder.preprocess.batch(images))))
        cls = torch.nn.functional.normalize(features.cls, dim=-1).numpy()
        words = network.words(features).numpy()
    assert vectors.shape == (3, 64 + 8)
    assert encoder.spec.dim == 72
    assert np.allclose(vectors[:, :64], 0.6 * cls, atol=1e-5)
    assert np.allclose(vectors[:, 64:], 0.8 * words, atol=1e-5)


def test_words_rank_images_by_the_text_space_alone(tmp_path: Path) -> None:
    encoder = load(small_model(tmp_path), precision="fp32")
    vectors, texts = encoder.embed(pictures(5)), encoder.embed_texts(["a red ball", "blue sky"])
    assert np.allclose(np.linalg.norm(texts, axis=1), 1)
    assert not texts[:, :64].any()
    assert np.allclose(texts @ vectors.T, texts[:, 64:] @ vectors[:, 64:].T, atol=1e-6)
    assert encoder.spec.towers == {Tower.IMAGE, Tower.TEXT}


def test_class_words_are_weighted_by_class_probabilities(tmp_path: Path) -> None:
    encoder = load(small_model(tmp_path), precision="fp32")
    images, network = pictures(4), encoder.model
    probabilities = encoder.class_probabilities(images)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    before = encoder.embed(images)[:, 64:] / 0.8
    class_words = network.class_words.numpy().copy()
    network.class_words = torch.zeros_like(network.class_words)
    by_hand = encoder.embed(images)[:, 64:] / 0.8 + probabilities @ class_words
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    assert np.allclose(before, by_hand, atol=1e-4)


def test_copies_have_a_vector_of_their_own_and_no_words(tmp_path: Path) -> None:
    small_model(tmp_path)
    copies, words = load(tmp_path, "tiny-copy"), load(tmp_path)
    assert copies.spec.dim == copies.embed(pictures(2)).shape[1] == 16
    assert copies.fingerprint != words.fingerprint
    assert copies.spec.towers == {Tower.IMAGE}
    with pytest.raises(NoTextTower):
        copies.embed_texts(["a red ball"])


def test_patches_and_attention_have_the_shape_of_the_grid(tmp_path: Path) -> None:
    encoder = load(small_model(tmp_path))
    assert encoder.spec.patch_grid == (3, 3)
    assert encoder.patch_tokens(pictures(2)).shape == (2, 9, 64)
    attention = encoder.attention(pictures(2))
    assert attention.shape == (2, encoder.spec.heads, 9)
    assert (attention.sum(-1) <= 1 + 1e-3).all()


def test_a_batch_of_any_size_gives_each_image_its_own_vector(tmp_path: Path) -> None:
    encoder = load(small_model(tmp_path), precision="fp32", batch_size=2)
    images = pictures(5)
    alone = np.concatenate([encoder.embed([i]) for i in images])
    assert np.allclose(encoder.embed(images), alone, atol=1e-5)
    assert encoder.embed([]).shape == (0, 72)


def test_a_model_without_words_still_answers_pictures(tmp_path: Path) -> None:
    encoder = load(small_model(tmp_path, words=False))
    assert encoder.embed(pictures(2)).shape == (2, 64)
    assert encoder.spec.towers == {Tower.IMAGE}
    with pytest.raises(NoTextTower):
        encoder.embed_texts(["sky"])


@pytest.mark.parametrize("changed", [WEIGHTS, TEXT, VOCABULARY, MANIFEST])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, changed: str) -> None:
    path = small_model(tmp_path) / changed
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(WeightsUnreadable, match=changed):
        load(tmp_path)


def test_an_empty_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=MANIFEST):
        load(tmp_path)


def test_weights_of_another_shape_are_refused_with_what_differs(tmp_path: Path) -> None:
    path = small_model(tmp_path) / MANIFEST
    facts = json.loads(path.read_text())
    facts["network"]["copy_dim"] = 17
    path.write_text(json.dumps(facts))
    with pytest.raises(WeightsMismatch, match="copy_head"):
        load(tmp_path)


def test_the_fingerprint_covers_weights_words_and_the_mixture(tmp_path: Path) -> None:
    small_model(tmp_path / "a")
    before = load(tmp_path / "a").fingerprint
    small_model(tmp_path / "again")
    assert load(tmp_path / "again").fingerprint == before
    path = tmp_path / "a" / MANIFEST
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"look": 0.5}))
    other_mixture = load(tmp_path / "a").fingerprint
    pieces = (tmp_path / "a" / VOCABULARY).read_text().replace("ball", "bill")
    (tmp_path / "a" / VOCABULARY).write_text(pieces)
    facts["files"][VOCABULARY] = file_digest(tmp_path / "a" / VOCABULARY)
    path.write_text(json.dumps(facts))
    other_words = load(tmp_path / "a").fingerprint
    assert len({before, other_mixture, other_words}) == 3


def test_random_weights_can_be_asked_for_and_repeat(tmp_path: Path) -> None:
    small_model(tmp_path)
    first, second = (load(tmp_path, random_seed=7).embed(pictures(1)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.allclose(first, load(tmp_path).embed(pictures(1)))
