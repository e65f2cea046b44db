"""Packed self-attention against torch's own layer, and in the encoders that need it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from likeness.encoders.loading import load_encoder
from likeness.encoders.packed_attention import PackedAttention, pack

TOKENS, HEADS, WIDTH = 7, 4, 32


class Products(TorchDispatchMode):
    """Notes the right-hand sides of batched matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.bmm.default:
            self.shapes.append(tuple(args[1].shape))
        return func(*args, **(kwargs or {}))


def causal() -> torch.Tensor:
    return torch.full((TOKENS, TOKENS), -torch.inf).triu(1)


MASKS = {
    "none": None,
    "added": causal(),
    "boolean": causal().isinf(),
    "per head": causal().expand(3 * HEADS, TOKENS, TOKENS).contiguous(),
}


def layers(**options: Any) -> tuple[nn.MultiheadAttention, nn.MultiheadAttention]:
    torch.manual_seed(0)
    plain = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options).eval()
    packed = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options).eval()
    packed.load_state_dict(plain.state_dict())
    pack(packed)
    return plain.requires_grad_(False), packed.requires_grad_(False)


@pytest.mark.parametrize("mask", MASKS)
def test_packed_attention_gives_what_the_layer_gives(mask: str) -> None:
    plain, packed = layers()
    assert isinstance(packed, PackedAttention)
    tokens = torch.randn(3, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    asked = {"need_weights": False, "attn_mask": MASKS[mask]}
    expected, _ = plain(tokens, tokens, tokens, **asked)
    with Products() as products:
        found, weights = packed(tokens, tokens, tokens, **asked)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert weights is None
    assert not any(shape == (TOKENS, WIDTH, 3 * WIDTH) for shape in products.shapes)


def test_what_is_not_self_attention_is_left_to_the_layer() -> None:
    plain, packed = layers()
    query, key = torch.randn(2, 3, TOKENS, WIDTH, generator=torch.Generator().manual_seed(2))
    padding = torch.zeros(3, TOKENS, dtype=torch.bool)
    padding[:, -1] = True
    for tokens, options in (
        ((query, key, key), {}),
        ((query, query, query), {"need_weights": True}),
        ((query, query, query), {"key_padding_mask": padding, "need_weights": False}),
    ):
        for found, expected in zip(packed(*tokens, **options), plain(*tokens, **options),
                                   strict=True):  # fmt: skip
            if expected is not None:
                torch.testing.assert_close(found, expected)


def test_layers_of_another_make_are_not_packed() -> None:
    other = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, add_bias_kv=True)
    swapped = nn.MultiheadAttention(WIDTH, HEADS)
    pack(nn.ModuleList([other, swapped]))
    assert type(other) is nn.MultiheadAttention
    assert type(swapped) is nn.MultiheadAttention


def test_texts_of_clip_are_projected_together_and_come_out_as_alone() -> None:
    encoder = load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k", random_seed=0, device="cpu")
    texts = ["a red dog", "snow at night", "a tree"]
    with Products() as products:
        together = encoder.embed_texts(texts)
    assert not any(shape[1:] == (512, 3 * 512) for shape in products.shapes)
    for text, row in zip(texts, together, strict=True):
        assert float(encoder.embed_texts([text])[0] @ row) > 0.999
