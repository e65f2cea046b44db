"""What the adapters of torch models share: batches, precision, and unit length at the end."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from likeness.encoders.batch_memory import GROWS_AFTER_S, batch_key
from likeness.encoders.checkpoint import fingerprint_of
from likeness.encoders.cpu_attention import MatmulAttention
from likeness.encoders.devices import (
    DTYPES,
    available_bytes,
    choose_device,
    choose_precision,
    device_name,
    is_out_of_memory,
)
from likeness.encoders.interface import (
    AttentionFrom,
    AttentionMaps,
    Encoder,
    EncoderSpec,
    LoadRequest,
    PatchTokens,
)
from likeness.encoders.memory import batch_that_fits
from likeness.encoders.preprocess import Preprocess
from likeness.encoders.records import EncoderRecord
from likeness.errors import NoAttentionMap, NoPatchTokens, VectorError
from likeness.types import Embeddings, PreparedBatch, RgbImage

_log = logging.getLogger(__name__)

# Larger batches cost latency. On the CPU they gain nothing (ViT-Ti/16 in bf16: 12.5, 11.7, 11.6 and
# 11.9 ms of CPU per image at 8, 16, 32 and 64); the caps for GPUs are chosen, not measured.
_BATCH_CAP = {"cpu": 32, "cuda": 256, "mps": 64}


class TorchTower(Encoder):
    """An encoder whose image tower is a torch module. Adapters say how to run it.

    Safe to call from several threads; one forward pass is as parallel as torch makes it.
    """

    def __init__(
        self,
        record: EncoderRecord,
        request: LoadRequest,
        model: nn.Module,
        preprocess: Preprocess,
        *,
        patch_grid: tuple[int, int] | None,
        heads: int | None,
        attention_from: AttentionFrom | None,
    ) -> None:
        device = choose_device(request.device)
        precision = choose_precision(request.precision, device)
        self.record = record
        self.preprocess = preprocess
        identity = f"{record.library}:{record.architecture}"
        self.fingerprint = fingerprint_of(identity, record.pooling, preprocess, model)
        self.model = model.eval().requires_grad_(False).to(device, DTYPES[precision])
        self.spec = EncoderSpec(
            name=request.name,
            dim=record.dim,
            input_size=preprocess.size,
            towers=record.towers,
            patch_grid=patch_grid,
            heads=heads,
            device=str(device),
            precision=precision,
            attention_from=attention_from,
        )
        self._device, self._dtype = device, DTYPES[precision]
        scale = 255.0 * torch.tensor(preprocess.std, dtype=torch.float32)
        shift = 255.0 * torch.tensor(preprocess.mean, dtype=torch.float32)
        self._scale, self._shift = scale.to(device), shift.to(device)
        cap = _BATCH_CAP[device.type]
        self._batch_memory = request.batch_memory
        self._batch_key = batch_key(device_name(device), self.fingerprint, precision)
        self._most = request.batch_size or batch_that_fits(
            record, available_bytes(device), precision, cap
        )
        self.batch_size = self._most
        if request.batch_size is None and request.batch_memory is not None:
            self.batch_size = request.batch_memory.allowed(self._batch_key, self._most)
        self._sized_at = time.monotonic()
        # torch's own multi-head layer has a fast path that such a mode would bar.
        packed = any(isinstance(module, nn.MultiheadAttention) for module in model.modules())
        self._attends_by_matmul = device.type == "cpu" and precision == "bf16" and not packed
        forward = self._features
        self._forward = torch.compile(forward) if request.compiled else forward

    @abstractmethod
    def _features(self, pixels: Tensor) -> Tensor:
        """Embed normalised pixels [n, 3, s, s]: [n, d], of any length."""

    @abstractmethod
    def _patch_tokens(self, pixels: Tensor) -> Tensor:
        """Patch tokens of normalised pixels [n, 3, s, s]: [n, p, w]."""

    @abstractmethod
    def _attention(self, pixels: Tensor) -> Tensor:
        """Attention over the patches for normalised pixels [n, 3, s, s]: [n, heads, p]."""

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        side = self.spec.input_size
        if batch.dtype != np.uint8 or batch.shape[1:] != (side, side, 3):
            raise VectorError(
                f"{self.spec.name} takes uint8 [n, {side}, {side}, 3], not {batch.dtype} "
                f"{list(batch.shape)}; prepare images with its own `preprocess`"
            )
        vectors = self._in_batches(self._forward, batch)
        return unit_rows(vectors) if len(batch) else np.zeros((0, self.spec.dim), np.float32)

    def patch_tokens(self, images: Sequence[RgbImage]) -> PatchTokens:
        if self.spec.patch_grid is None:
            raise NoPatchTokens(self.spec.name, "its architecture keeps no tokens per patch")
        return self._in_batches(self._patch_tokens, self.preprocess.batch(images))

    def attention(self, images: Sequence[RgbImage]) -> AttentionMaps:
        if self.spec.attention_from is None:
            raise NoAttentionMap(
                self.spec.name,
                "its blocks attend within windows, or mix by convolution, so that no single token "
                "sees the whole image; patch_tokens says what is where",
            )
        return self._in_batches(self._attention, self.preprocess.batch(images))

    def _in_batches(
        self, run: Callable[[Tensor], Tensor], batch: PreparedBatch
    ) -> npt.NDArray[np.float32]:
        """Run over at most `batch_size` images at a time; half of it whenever there is no room."""
        self._grow_back()
        parts: list[Tensor] = []
        start = 0
        while start < len(batch):
            part = batch[start : start + self.batch_size]
            try:
                with torch.inference_mode(), self._attending():
                    parts.append(run(self._pixels(part)).float())
            except RuntimeError as error:  # torch.OutOfMemoryError is one; a CPU raises it plain
                if self.batch_size == 1 or not is_out_of_memory(error):
                    raise
                self._halve(len(part))
                continue
            start += len(part)
        if not parts:
            return np.zeros((0, 0, 0), np.float32)
        return cast(npt.NDArray[np.float32], torch.cat(parts).cpu().numpy())

    def _grow_back(self) -> None:
        """A day without a refusal: twice as many may be tried, up to what fitted by reckoning."""
        if self.batch_size < self._most and time.monotonic() - self._sized_at > GROWS_AFTER_S:
            self.batch_size = min(self._most, 2 * self.batch_size)
            self._sized_at = time.monotonic()

    def _halve(self, tried: int) -> None:
        """There was no room for so many: half of them from now on, in later processes too."""
        self.batch_size, self._sized_at = max(1, tried // 2), time.monotonic()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self._batch_memory is not None:
            self._batch_memory.too_large(self._batch_key, self.batch_size)
        _log.warning(
            "%s: no room for a batch of %d on %s, going on with %d images at a time",
            self.spec.name,
            tried,
            self._device,
            self.batch_size,
        )

    def _attending(self) -> AbstractContextManager[object]:
        """Fused attention, except where matrix products are quicker."""
        if self._attends_by_matmul:
            return MatmulAttention()
        return nullcontext()

    def _pixels(self, batch: PreparedBatch) -> Tensor:
        """uint8 [n, s, s, 3] on the host → normalised [n, 3, s, s] on the device.

        Computed in fp32: (x - 255 mean) / (255 std) = (x / 255 - mean) / std. The memory stays in
        the order of the images, channels last, which convolutions like.
        """
        host = torch.from_numpy(np.ascontiguousarray(batch))
        if self._device.type == "cuda":
            host = host.pin_memory()
        pixels = host.to(self._device, non_blocking=True).float()
        pixels.sub_(self._shift).div_(self._scale)
        return pixels.permute(0, 3, 1, 2).to(self._dtype)


def unit_rows(vectors: npt.NDArray[np.float32]) -> Embeddings:
    """Scale rows to L2 norm 1; a row that is zero or not finite becomes NaN, for its image alone
    to be refused."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    sound = np.isfinite(norms) & (norms > 0)
    return cast(Embeddings, np.where(sound, vectors, np.nan) / np.where(sound, norms, 1.0))
