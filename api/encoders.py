"""Encoders as a service uses them: loaded once, warm, one caller at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from likeness.catalog.records import Space
from likeness.encoders.interface import AttentionMaps, Encoder, PatchTokens
from likeness.errors import LikenessError
from likeness.runtime import Runtime
from likeness.types import Embeddings, PreparedBatch, RgbImage, Tower


class SerialEncoder(Encoder):
    """An encoder that computes for one thread at a time: two would share the same cores or GPU.

    Preprocessing stays outside the lock.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._lock = threading.Lock()
        self.spec, self.fingerprint = encoder.spec, encoder.fingerprint
        self.preprocess, self.batch_size = encoder.preprocess, encoder.batch_size

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        with self._lock:
            return self._encoder.embed_prepared(batch)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        with self._lock:
            return self._encoder.embed_texts(texts)

    def patch_tokens(self, images: Sequence[RgbImage]) -> PatchTokens:
        with self._lock:
            return self._encoder.patch_tokens(images)

    def attention(self, images: Sequence[RgbImage]) -> AttentionMaps:
        with self._lock:
            return self._encoder.attention(images)


class WarmEncoders:
    """The encoders of spaces, each loaded once whoever asks first. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: dict[tuple[str, str], SerialEncoder] = {}
        self._lock = threading.Lock()
        self.error: LikenessError | None = None

    def of(self, space: Space) -> Encoder:
        """The encoder that made a space's vectors. Raises SpaceMismatch, WeightsError."""
        key = (space.encoder, space.fingerprint)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = SerialEncoder(self._runtime.encoder_of(space))
            return self._kept[key]

    def warm(self, space: Space) -> None:
        """Each of its towers has computed once, so that the first question is as quick as any."""
        encoder = self.of(space)
        side = encoder.spec.input_size
        encoder.embed([np.full((side, side, 3), 128, dtype=np.uint8)])
        if Tower.TEXT in encoder.spec.towers:
            encoder.embed_texts(["a photo"])
