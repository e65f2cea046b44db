from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likeness.encoders.tiny.text import UNKNOWN, TextTower, quantise

PIECES = (UNKNOWN, "red", "ball", "foot", "##ball", "cafe")
VECTORS = np.random.default_rng(0).normal(size=(len(PIECES), 8)).astype(np.float32)
VECTORS[0] = 0


def tower() -> TextTower:
    return TextTower(PIECES, *quantise(VECTORS))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("red ball", ["red", "ball"]),
        ("A RED, ball!", ["red", "ball"]),
        ("football football", ["foot", "##ball", "foot", "##ball"]),
        ("Café", ["cafe"]),
        ("ball red xyzzy", ["red", "ball"]),
    ],
)
def test_a_text_is_the_sum_of_its_word_pieces(text: str, pieces: list[str]) -> None:
    by_hand = unit(sum(VECTORS[PIECES.index(p)] for p in pieces))
    assert np.allclose(tower().embed([text])[0], by_hand, atol=0.02)


def test_texts_without_a_known_piece_get_a_unit_vector_too() -> None:
    vectors = tower().embed(["", "   ", "??", "зима"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors, vectors[0])


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_texts_give_unit_rows_in_their_order(texts: list[str]) -> None:
    together = tower().embed(texts)
    assert together.shape == (len(texts), 8)
    assert together.dtype == np.float32
    for text, row in zip(texts, together, strict=True):
        assert np.allclose(np.linalg.norm(row), 1, atol=1e-5)
        assert np.array_equal(tower().embed([text])[0], row)


def test_quantising_keeps_each_vector_to_half_a_step() -> None:
    table, scales = quantise(VECTORS)
    assert table.dtype == np.int8
    step = np.abs(VECTORS).max(axis=1) / 127
    error = np.abs(table * scales[:, None] - VECTORS).max(axis=1)
    assert (error <= 0.5 * step + 127 * step * 2**-10).all()


def test_parts_of_different_lengths_are_refused() -> None:
    table, scales = quantise(VECTORS)
    with pytest.raises(ValueError, match="do not belong together"):
        TextTower(PIECES[:-1], table, scales)
