"""Attention in bf16 on CPUs, at the speed of their bf16 units.

torch's fused kernel multiplies in fp32 on the CPU whatever it is given: 70 GFLOP/s per core where
bf16 matrix products run at 430 (AVX512-BF16, torch 2.14; benchmarks/README.md). So there the
products are formed by plain matrix multiplication, a part at a time that stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Scores of one part, per thread: with q, k and v they fit the second-level cache of a core.
_PART_BYTES = 1 << 20


class MatmulAttention(TorchFunctionMode):
    """Within, `scaled_dot_product_attention` of bf16 tensors on the CPU goes through matmul.

    Same result up to bf16's rounding of the scores; anything else (a causal mask, dropout, other
    types and devices) goes to torch's kernel.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            return _attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **others: Any,
) -> Tensor:
    plain = query.ndim == 4 and query.shape[:2] == key.shape[:2] and not others.get("enable_gqa")
    adds = attn_mask is None or (attn_mask.is_floating_point() and attn_mask.ndim == 4)
    half = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    if not (plain and adds and half) or is_causal or dropout_p:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **others
        )
    return matmul_attention(query, key, value, attn_mask, scale)


def matmul_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    """softmax(q kᵀ · scale + mask) v (Vaswani et al., 2017, eq. 1), part by part.

    query: [n, heads, t, d]; key, value: [n, heads, u, d]; mask: broadcastable to
    [n, heads, t, u]. scale: None for 1/√d. Returns [n, heads, t, d], in memory as [n, t, heads, d].
    """
    n, heads, t, d = query.shape
    factor = d**-0.5 if scale is None else scale
    budget = torch.get_num_threads() * _PART_BYTES
    matrix_bytes = t * key.shape[2] * query.element_size()
    images = min(n, max(1, budget // (heads * matrix_bytes)))
    rows = heads if budget >= heads * matrix_bytes else max(1, budget // matrix_bytes)
    out = query.new_empty(n, t, heads, value.shape[3]).transpose(1, 2)
    for first in range(0, n, images):
        for head in range(0, heads, rows):
            part = (slice(first, first + images), slice(head, head + rows))
            scores = (query[part] * factor) @ key[part].transpose(-2, -1)
            if mask is not None:
                scores += mask[_broadcast(mask, part)]
            out[part] = scores.softmax(dim=-1) @ value[part]
    return out


def _broadcast(mask: Tensor, part: tuple[slice, slice]) -> tuple[slice, ...]:
    """The part of a mask, whose first dimensions may be 1."""
    return tuple(
        each if size > 1 else slice(None) for each, size in zip(part, mask.shape[:2], strict=True)
    )
