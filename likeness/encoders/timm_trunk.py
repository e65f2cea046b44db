"""The inside of timm's models, which both libraries' towers are made of."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from likeness.encoders.attention import first_row, input_of, pooling_row
from likeness.encoders.interface import AttentionFrom


class Trunk:
    """The inside of a timm model: its patches and its attention."""

    def __init__(self, model: nn.Module) -> None:
        self._model = cast(Any, model)
        self._prefix = int(getattr(model, "num_prefix_tokens", 0))
        self._pool = getattr(model, "attn_pool", None)
        self.attention_from: AttentionFrom | None = None
        self.heads: int | None = None
        if getattr(model, "cls_token", None) is not None and hasattr(model, "blocks"):
            self.attention_from = "cls"
            self.heads = int(self._model.blocks[-1].attn.num_heads)
        elif self._pool is not None and self._prefix == 0:
            self.attention_from = "pooling query"
            self.heads = int(self._pool.num_heads)

    def patch_grid(self, side: int) -> tuple[int, int]:
        """(h, w) of the patch tokens of a square of `side` pixels."""
        cells = side // int(self._model.feature_info[-1]["reduction"])
        return cells, cells

    def patch_tokens(self, pixels: Tensor) -> Tensor:
        """Patch tokens [n, p, w] after the model's last norm, prefix tokens left out."""
        features = self._model.forward_features(pixels)
        if features.ndim == 4:  # hierarchical towers keep the map; Swin with channels last
            if getattr(self._model, "output_fmt", "NCHW") == "NCHW":
                features = features.permute(0, 2, 3, 1)
            return cast(Tensor, features.flatten(1, 2))
        # Where the mean of the patches is pooled, the norm comes after pooling; per token it is
        # the same layer.
        if isinstance(self._model.norm, nn.Identity):
            features = self._model.fc_norm(features)
        return cast(Tensor, features[:, self._prefix :])

    def attention(self, pixels: Tensor) -> Tensor:
        """Attention of `attention_from`, which is not None, over the patches: [n, heads, p]."""
        if self.attention_from == "cls":
            return first_row(self._model, self._model.blocks[-1].attn, pixels)[:, :, self._prefix :]
        pool = cast(nn.Module, self._pool)
        return pooling_row(pool, input_of(self._model, pool, pixels))
