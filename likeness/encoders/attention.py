"""Attention maps of towers that normally never form them, because their attention is fused."""

from __future__ import annotations

import threading
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_one_at_a_time = threading.Lock()


def first_row(model: nn.Module, attention: nn.Module, pixels: Tensor) -> Tensor:
    """What the first token (CLS) attends to in one of timm's attention layers.

    Runs `model.forward_features` on pixels [n, 3, s, s] with the layer's fused kernel off for
    this call, and takes the softmax where it enters the layer's dropout, so that rotary
    embeddings, relative biases and q/k norms are all in it. Returns [n, heads, tokens], rows
    sum to 1.
    """
    layer = cast(Any, attention)
    caller = threading.get_ident()
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], matrix: Tensor) -> None:
        # Other threads may be embedding with the same model; their matrices are not ours.
        if threading.get_ident() == caller:
            seen.append(_summing_to_one(matrix[:, :, 0]))

    with _one_at_a_time:
        fused = layer.fused_attn
        hook = layer.attn_drop.register_forward_hook(keep)
        layer.fused_attn = False
        try:
            cast(Any, model).forward_features(pixels)
        finally:
            layer.fused_attn = fused
            hook.remove()
    return seen[-1]


def first_row_of_multihead(attention: nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    """What the first token attends to in torch's multi-head attention, given the layer's input.

    tokens: [n, t, w]. Returns [n, heads, t], rows sum to 1.
    """
    batch_first = attention.batch_first
    keys = tokens if batch_first else tokens.transpose(0, 1)
    query = keys[:, :1] if batch_first else keys[:1]
    _, weights = attention(query, keys, keys, need_weights=True, average_attn_weights=False)
    return _summing_to_one(weights[:, :, 0])


def pooling_row(pool: nn.Module, tokens: Tensor) -> Tensor:
    """What the query of timm's AttentionPoolLatent attends to (Zhai et al., 2022, "Scaling
    Vision Transformers", MAP head), given its input.

    tokens: [n, t, w]. Returns [n, heads, t], rows sum to 1.
    """
    layer = cast(Any, pool)
    n, t, _ = tokens.shape
    if layer.pos_embed is not None:
        tokens = tokens + layer.pos_embed.unsqueeze(0).to(tokens.dtype)
    query = layer.q(layer.latent.expand(n, -1, -1))
    query = query.reshape(n, layer.latent_len, layer.num_heads, layer.head_dim).transpose(1, 2)
    keys = layer.kv(tokens).reshape(n, t, 2, layer.num_heads, layer.head_dim)
    keys = keys.permute(2, 0, 3, 1, 4)[0]
    query, keys = layer.q_norm(query), layer.k_norm(keys)
    scores = (query * layer.scale) @ keys.transpose(-2, -1)
    return functional.softmax(scores.float(), dim=-1)[:, :, 0]


def _summing_to_one(rows: Tensor) -> Tensor:
    """Rows of a softmax in fp32, freed of what rounding in half precision added or took."""
    exact = rows.float()
    return exact / exact.sum(dim=-1, keepdim=True)


def input_of(model: nn.Module, layer: nn.Module, pixels: Tensor) -> Tensor:
    """The first argument that `layer` gets while `model` runs on pixels."""
    caller = threading.get_ident()
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if threading.get_ident() == caller:
            seen.append(
                inputs[0] if inputs else next(v for v in named.values() if torch.is_tensor(v))
            )

    hook = layer.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        model(pixels)
    finally:
        hook.remove()
    return seen[-1]
