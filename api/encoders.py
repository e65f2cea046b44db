"""Encoders as a service uses them: loaded once, warm, shared by its threads in turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from likeness.catalog.records import Space
from likeness.encoders.interface import AttentionMaps, Encoder, PatchTokens
from likeness.encoders.threads import on_threads, threads_here
from likeness.errors import LikenessError
from likeness.runtime import Runtime
from likeness.types import Embeddings, PreparedBatch, RgbImage, Tower


class Turns:
    """Who may compute. On a GPU one call at a time; on a CPU two, each on half of the threads.

    Two calls on a core each waste less than one after the other on two: nobody waits for the other
    core at the end of every layer, nor for one that is busy with something else. A call that
    begins alone has all threads.

    company: whether others are at work who will compute in a moment, though they do not yet. A call
    that took all threads from them would be in their way until its end.
    """

    def __init__(self, device: str, company: Callable[[], bool] = lambda: False) -> None:
        self._company = company
        self._threads = threads_here() if device == "cpu" else 1
        self._places = threading.Semaphore(min(2, self._threads))
        self._lock = threading.Lock()
        self._here = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for a block that computes."""
        with self._places:
            with self._lock:
                self._here += 1
                alone = self._here == 1 and not self._company()
                share = self._threads if alone else max(1, self._threads // 2)
            try:
                with on_threads(share):
                    yield
            finally:
                with self._lock:
                    self._here -= 1


class SharedEncoder(Encoder):
    """An encoder that threads share in turns. Preprocessing is nobody's turn."""

    def __init__(self, encoder: Encoder, turns: Turns) -> None:
        self._encoder, self._turns = encoder, turns
        self.spec, self.fingerprint = encoder.spec, encoder.fingerprint
        self.preprocess, self.batch_size = encoder.preprocess, encoder.batch_size

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        with self._turns.one():
            return self._encoder.embed_prepared(batch)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        with self._turns.one():
            return self._encoder.embed_texts(texts)

    def patch_tokens(self, images: Sequence[RgbImage]) -> PatchTokens:
        with self._turns.one():
            return self._encoder.patch_tokens(images)

    def attention(self, images: Sequence[RgbImage]) -> AttentionMaps:
        with self._turns.one():
            return self._encoder.attention(images)


class WarmEncoders:
    """The encoders of spaces, each loaded once whoever asks first. Thread-safe.

    company: see `Turns`.
    """

    def __init__(self, runtime: Runtime, company: Callable[[], bool] = lambda: False) -> None:
        self._runtime, self._company = runtime, company
        self._kept: dict[tuple[str, str], SharedEncoder] = {}
        self._turns: dict[str, Turns] = {}
        self._lock = threading.Lock()
        self.error: LikenessError | None = None

    def of(self, space: Space) -> Encoder:
        """The encoder that made a space's vectors. Raises SpaceMismatch, WeightsError."""
        key = (space.encoder, space.fingerprint)
        with self._lock:
            if key not in self._kept:
                encoder = self._runtime.encoder_of(space)
                device = encoder.spec.device
                turns = self._turns.setdefault(device, Turns(device, self._company))
                self._kept[key] = SharedEncoder(encoder, turns)
            return self._kept[key]

    def warm(self, space: Space) -> None:
        """Each of its towers has computed once, so that the first question is as quick as any."""
        encoder = self.of(space)
        side = encoder.spec.input_size
        encoder.embed([np.full((side, side, 3), 128, dtype=np.uint8)])
        if Tower.TEXT in encoder.spec.towers:
            encoder.embed_texts(["a photo"])
