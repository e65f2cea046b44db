"""What `benchmarks.serve` serves with: encoders without weights, one without work; their cost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np

from likeness.encoders.interface import Encoder, EncoderSpec
from likeness.encoders.loading import load_encoder
from likeness.encoders.preprocess import Preprocess
from likeness.runtime import Runtime
from likeness.types import Embeddings, PreparedBatch, RgbImage, Tower

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class RandomRuntime(Runtime):
    """Encoders without weights, so that any of them can be measured anywhere."""

    def encoder(self, name: str) -> Encoder:
        if name not in self._encoders:
            self._limit_threads()
            self._encoders[name] = load_encoder(name, random_seed=0)
        return self._encoders[name]


class InstantRuntime(Runtime):
    """An encoder that answers at once, whatever its name: what is left is the service's own."""

    def encoder(self, name: str) -> Encoder:
        return self._encoders.setdefault(name, InstantEncoder(name))


class InstantEncoder(Encoder):
    """Gives one of a few random unit vectors, told by the bytes; computes nothing."""

    def __init__(self, name: str) -> None:
        self.spec = EncoderSpec(
            name=name, dim=512, input_size=224, towers=frozenset(Tower), patch_grid=None,
            heads=None, device="cpu", precision="fp32",
        )  # fmt: skip
        self.preprocess, self.batch_size, self.fingerprint = Preprocess(224), 64, "00" * 32
        rows = np.random.default_rng(3).standard_normal((1024, self.spec.dim))
        self._rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        return self._told([bytes(square[0]) for square in batch])

    def embed(self, images: Sequence[RgbImage]) -> Embeddings:
        return self._told([bytes(image[0]) for image in images])

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        return self._told([text.encode() for text in texts])

    def _told(self, items: Sequence[bytes]) -> Embeddings:
        rows: Embeddings = self._rows[[crc32(item) % len(self._rows) for item in items]]
        return rows


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process and all below it so far, decode workers among them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    spent = sum(map(int, fields[11:15])) / _TICKS_PER_S  # its own, and of children that ended
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = (task / "children").read_text().split()
        spent += sum(cpu_seconds(int(child)) for child in children)
    return spent
