"""Image and text towers of OpenCLIP (Ilharco et al., 2021)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import open_clip
import torch
from open_clip.factory import load_checkpoint
from open_clip.pretrained import get_pretrained_cfg
from torch import Tensor, nn

from likeness.encoders import checkpoint
from likeness.encoders.attention import first_row_of_multihead, input_of
from likeness.encoders.interface import AttentionFrom, LoadRequest
from likeness.encoders.open_clip_words import WordsToIds, words_to_ids
from likeness.encoders.packed_attention import pack
from likeness.encoders.preprocess import Preprocess, ResizeMode
from likeness.encoders.records import EncoderRecord
from likeness.encoders.timm_trunk import Trunk
from likeness.encoders.torch_tower import TorchTower, unit_rows
from likeness.encoders.uninitialised import Uninitialised
from likeness.encoders.weights import obtain
from likeness.errors import InputError, WeightsMismatch
from likeness.types import Embeddings, Tower

_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")


class OpenClipTowers(TorchTower):
    """One of OpenCLIP's models: images and words into one space."""

    def __init__(self, record: EncoderRecord, request: LoadRequest, model: nn.Module) -> None:
        visual = cast(Any, model).visual
        self._inside = Trunk(visual.trunk) if hasattr(visual, "trunk") else NativeVisual(visual)
        preprocess = preprocess_of(model)
        super().__init__(
            record,
            request,
            model,
            preprocess,
            patch_grid=self._inside.patch_grid(preprocess.size),
            heads=self._inside.heads,
            attention_from=self._inside.attention_from,
        )
        # The image tower has no mask, so that torch's own fused layer serves it.
        for name, part in model.named_children():
            if name != "visual":
                pack(part)
        self._request = request
        self._words: WordsToIds | None = None

    def _features(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, cast(Any, self.model).encode_image(pixels))

    def _patch_tokens(self, pixels: Tensor) -> Tensor:
        return self._inside.patch_tokens(pixels)

    def _attention(self, pixels: Tensor) -> Tensor:
        return self._inside.attention(pixels)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        if Tower.TEXT not in self.spec.towers:
            return super().embed_texts(texts)
        if not texts:
            return np.zeros((0, self.spec.dim), np.float32)
        if self._words is None:
            self._words = words_to_ids(self.record, self._request)
        ids = self._words(texts)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(ids), self.batch_size):
                part = ids[start : start + self.batch_size].to(self.spec.device)
                parts.append(cast(Any, self.model).encode_text(part).float())
        return unit_rows(torch.cat(parts).cpu().numpy())


class NativeVisual:
    """The inside of OpenCLIP's own VisionTransformer: its patches and its attention."""

    def __init__(self, visual: nn.Module) -> None:
        self._visual = cast(Any, visual)
        self._last = self._visual.transformer.resblocks[-1].attn
        plain = isinstance(self._last, nn.MultiheadAttention)
        self.attention_from: AttentionFrom | None = "cls" if plain else None
        self.heads: int | None = self._last.num_heads if plain else None

    def patch_grid(self, side: int) -> tuple[int, int]:
        """(h, w) of the patch tokens of a square of `side` pixels."""
        return side // self._visual.patch_size[0], side // self._visual.patch_size[1]

    def patch_tokens(self, pixels: Tensor) -> Tensor:
        """Patch tokens [n, p, w] after the last norm, CLS left out."""
        output = self._visual.forward_intermediates(
            pixels,
            indices=1,
            normalize_intermediates=True,
            intermediates_only=True,
            output_fmt="NLC",
        )
        return cast(Tensor, output["image_intermediates"][0])

    def attention(self, pixels: Tensor) -> Tensor:
        """CLS's attention over the patches in the last block: [n, heads, p]."""
        tokens = input_of(self._visual, self._last, pixels)
        return first_row_of_multihead(self._last, tokens)[:, :, 1:]


def load(record: EncoderRecord, request: LoadRequest) -> OpenClipTowers:
    """The encoder of a record: built by OpenCLIP, its weights from a file, a mirror or the hub."""
    if request.random_seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.random_seed)
            return OpenClipTowers(record, request, build(record))
    path = request.weights_path or obtain(
        record, request.name, request.weights_dir, offline=request.offline
    )
    return OpenClipTowers(record, request, build_with_weights(record, path))


def build(record: EncoderRecord, *, meta: bool = False) -> nn.Module:
    """OpenCLIP's model of a record at random initialisation, with the activation function and
    the preprocessing that belong to the record's weights.

    meta: without memory for its tensors, to look at names and shapes only.
    Raises InputError when its text tower needs the package transformers and that is missing.
    """
    tag = record.name.partition("/")[2]
    config: dict[str, Any] = get_pretrained_cfg(record.architecture, tag) if tag else {}
    device = "meta" if meta else "cpu"
    try:
        with torch.device(device), _without_advice():
            return cast(
                nn.Module,
                open_clip.create_model(
                    record.architecture,
                    load_weights=False,
                    pretrained_text=False,
                    device=device,
                    force_quick_gelu=bool(config.get("quick_gelu")),
                    force_preprocess_cfg={k: config[k] for k in _PREPROCESSING if k in config},
                ),
            )
    except RuntimeError as error:
        if "transformers" not in str(error):
            raise
        raise InputError(
            f"{record.name} has a text tower from the package transformers, which is not "
            "installed; add it with `pip install transformers`, or use another encoder"
        ) from error


def build_with_weights(record: EncoderRecord, path: Path) -> nn.Module:
    """OpenCLIP's model of a record with the weights of a file, both towers, all of them.

    Raises WeightsUnreadable, WeightsMismatch.
    """
    tensors = checkpoint.read_tensors(path)
    with Uninitialised():
        model = build(record)
    mismatches = checkpoint.shape_mismatches(tensors, model)
    if mismatches:
        raise WeightsMismatch(str(path), record.name, mismatches)
    del tensors
    try:
        load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (RuntimeError, LookupError, ValueError, AttributeError, TypeError) as error:
        found = checkpoint.load_error_mismatches(error)
        raise WeightsMismatch(str(path), record.name, found) from error
    return model


def preprocess_of(model: nn.Module) -> Preprocess:
    """OpenCLIP's own evaluation transform of a model, as ours."""
    config = cast(Any, model).visual.preprocess_cfg
    size = config["size"]
    return Preprocess(
        size=int(size if isinstance(size, int) else size[0]),
        resize=cast(ResizeMode, config["resize_mode"] or "shortest"),
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=cast(tuple[float, float, float], tuple(map(float, config["mean"]))),
        std=cast(tuple[float, float, float], tuple(map(float, config["std"]))),
        fill=(config["fill_color"],) * 3,
    )


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep OpenCLIP from warning, on the root logger, that weights are still to be loaded."""
    root = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No pretrained weights loaded")

    # With no handler on it, logging through the root would configure logging for everyone.
    silent = logging.NullHandler()
    root.addHandler(silent)
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
        root.removeHandler(silent)
