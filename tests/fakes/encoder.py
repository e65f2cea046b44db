"""An encoder of colours: real answers, no weights, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from likeness.encoders.interface import Encoder, EncoderSpec
from likeness.encoders.preprocess import Preprocess
from likeness.errors import NoTextTower
from likeness.types import Embeddings, PreparedBatch, Tower

_SIZE, _GRID = 32, 4

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 160, 0),
    "grey": (128, 128, 128),
    "orange": (255, 140, 0),
    "purple": (128, 0, 160),
    "red": (220, 0, 0),
    "white": (255, 255, 255),
    "yellow": (255, 230, 0),
}


class FakeEncoder(Encoder):
    """Embeds the mean colours of a 4×4 grid: alike means the same colours in the same places.

    Words embed as a picture filled with the mean of the colours they name. d = 49: 16 cells of
    RGB around mid-grey and a constant, so that no image has zero norm. prepared: the number of
    images embedded so far, for tests that count work.
    """

    def __init__(
        self,
        name: str = "fake:colours",
        *,
        towers: frozenset[Tower] = frozenset(Tower),
        batch_size: int = 8,
        seed: int = 0,
    ) -> None:
        self.spec = EncoderSpec(
            name=name, dim=_GRID * _GRID * 3 + 1, input_size=_SIZE, towers=towers,
            patch_grid=None, heads=None, device="cpu", precision="fp32",
        )  # fmt: skip
        self.preprocess = Preprocess(size=_SIZE)
        self.batch_size = batch_size
        self.fingerprint = hashlib.sha256(f"{name} {seed}".encode()).hexdigest()
        self.prepared = 0
        # Another seed is another space: the same picture lands elsewhere.
        self._signs = np.where(np.random.default_rng(seed).random(self.spec.dim) < 0.5, -1.0, 1.0)

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        self.prepared += len(batch)
        return self._embed(batch)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        if Tower.TEXT not in self.spec.towers:
            raise NoTextTower(self.spec.name)
        return self._embed(np.stack([_filled(text) for text in texts]))

    def _embed(self, batch: PreparedBatch) -> Embeddings:
        n, cell = len(batch), _SIZE // _GRID
        cells = batch.reshape(n, _GRID, cell, _GRID, cell, 3).mean(axis=(2, 4)) / 255.0 - 0.5
        rows = np.concatenate([cells.reshape(n, -1), np.full((n, 1), 0.1)], axis=1) * self._signs
        unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit


def _filled(text: str) -> PreparedBatch:
    """uint8 [32, 32, 3] of the mean colour named in the text; mid-grey when it names none."""
    named = [COLOURS[word] for word in text.lower().split() if word in COLOURS]
    colour = np.mean(named or [(128, 128, 128)], axis=0).astype(np.uint8)
    return np.broadcast_to(colour, (_SIZE, _SIZE, 3))
