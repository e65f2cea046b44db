"""The one interface of encoders: pixels or words in, unit vectors out. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from likeness.encoders.batch_memory import BatchMemory
from likeness.encoders.preprocess import Preprocess
from likeness.errors import NoAttentionMap, NoPatchTokens, NoTextTower
from likeness.types import Embeddings, PreparedBatch, RgbImage, Tower

Precision = Literal["fp32", "bf16", "fp16"]
AttentionFrom = Literal["cls", "pooling query"]

PatchTokens = npt.NDArray[np.float32]
"""float32 [n, p, w]: the last layer's patch tokens after its norm, not projected or scaled."""

AttentionMaps = npt.NDArray[np.float32]
"""float32 [n, heads, p], >= 0, each row sums to at most 1 (the rest went to non-patch tokens)."""


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What an encoder is, once loaded.

    dim: d of its vectors. input_size: side of the prepared square, pixels.
    patch_grid: (h, w) of the patch tokens, p = h * w; None when there are none.
    heads: of the attention map; None when there is none.
    attention_from: whose attention `attention` returns, the CLS token's or (in towers without
    one that pool by attention, as SigLIP) the pooling query's; None when there is no map.
    device: a torch device string. precision: of the weights and activations on it.
    """

    name: str
    dim: int
    input_size: int
    towers: frozenset[Tower]
    patch_grid: tuple[int, int] | None
    heads: int | None
    device: str
    precision: Precision
    attention_from: AttentionFrom | None = None


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """How to load an encoder; the second argument of every loader in the registry.

    name: as the user wrote it. weights_path: the part behind `@`, or None.
    weights_dir: a mirror directory. device, precision: "auto" or a fixed choice.
    batch_size: images per forward pass, or None to choose by memory.
    batch_memory: where sizes are kept for which a device had no room; None: nowhere.
    random_seed: initialise at random instead of loading weights (tests, and the untrained demo).
    compiled: pass the model through torch.compile (pays on GPUs after a warm-up of minutes).
    """

    name: str
    weights_path: Path | None = None
    weights_dir: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    offline: bool = False
    batch_size: int | None = None
    batch_memory: BatchMemory | None = None
    random_seed: int | None = None
    compiled: bool = False


class Encoder(Protocol):
    """A Vision Transformer with its preprocessing. One method is required: `embed_prepared`.

    fingerprint: hex SHA-256 over architecture, weights and preprocessing, the same whatever the
    device, the precision and the place the weights came from.
    preprocess: picklable and free of torch, so that decode workers can run it.
    batch_size: images per forward pass, chosen by memory; larger batches are split.
    """

    spec: EncoderSpec
    fingerprint: str
    preprocess: Preprocess
    batch_size: int

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        """Embed prepared images, one unit-length row each, in input order.

        batch: uint8 [n, s, s, 3], s = spec.input_size, made by `preprocess`.
        Returns float32 [n, d], L2 norm 1, d = spec.dim; a row that could not be computed (an
        overflow, damaged weights) is NaN, and the others are right.
        """
        ...

    def embed(self, images: Sequence[RgbImage]) -> Embeddings:
        """Embed images, one unit-length row each, in input order.

        images: n arrays, uint8 [h, w, 3] RGB; sizes may differ.
        Returns float32 [n, d], L2 norm 1, d = spec.dim.
        """
        return self.embed_prepared(self.preprocess.batch(images))

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:  # noqa: ARG002
        """Embed words into the space of the images: float32 [n, d], L2 norm 1, in input order.

        Raises NoTextTower when the encoder knows images only.
        """
        raise NoTextTower(self.spec.name)

    def patch_tokens(self, images: Sequence[RgbImage]) -> PatchTokens:  # noqa: ARG002
        """Describe every patch: float32 [n, p, w], row-major over spec.patch_grid.

        Raises NoPatchTokens when the architecture has none.
        """
        raise NoPatchTokens(self.spec.name, "its architecture keeps no tokens per patch")

    def attention(self, images: Sequence[RgbImage]) -> AttentionMaps:  # noqa: ARG002
        """The last block's attention of spec.attention_from over the patches.

        Returns float32 [n, heads, p], row-major over spec.patch_grid; register tokens and CLS
        are left out, so rows sum to at most 1. Raises NoAttentionMap when there is no such map.
        """
        raise NoAttentionMap(self.spec.name, "its architecture has no CLS token")
