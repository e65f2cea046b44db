"""Attention by matrix products against the textbook, and who is left to torch's own kernel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from likeness.encoders import cpu_attention
from likeness.encoders.cpu_attention import MatmulAttention, matmul_attention


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def textbook(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    return torch.softmax(scores if mask is None else scores + mask, dim=-1) @ value


@given(
    n=st.integers(1, 5),
    heads=st.integers(1, 4),
    tokens=st.integers(1, 40),
    keys=st.integers(1, 40),
    masked=st.sampled_from([None, (1, 1), (1, 0), (0, 1), (0, 0)]),
    part=st.sampled_from([1, 700, 3000, 1 << 20]),
)
@settings(max_examples=60, deadline=None)
def test_parts_of_any_size_give_what_the_textbook_gives(
    n: int, heads: int, tokens: int, keys: int, masked: tuple[int, int] | None, part: int
) -> None:
    query = drawn(n, heads, tokens, 8)
    key, value = drawn(n, heads, keys, 8, seed=1), drawn(n, heads, keys, 8, seed=2)
    mask = None
    if masked is not None:
        mask = drawn(n if masked[0] else 1, heads if masked[1] else 1, tokens, keys, seed=3)
    before = cpu_attention._PART_BYTES
    cpu_attention._PART_BYTES = part
    try:
        found = matmul_attention(query, key, value, mask, None)
    finally:
        cpu_attention._PART_BYTES = before
    torch.testing.assert_close(found, textbook(query, key, value, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_in_bf16_it_stays_as_close_to_fp32_as_rounding_allows(scale: float | None) -> None:
    query, key, value = (drawn(2, 3, 50, 64, seed=seed) for seed in range(3))
    exact = functional.scaled_dot_product_attention(query, key, value, scale=scale)
    with MatmulAttention():
        half = functional.scaled_dot_product_attention(
            query.bfloat16(), key.bfloat16(), value.bfloat16(), scale=scale
        )
    assert half.dtype == torch.bfloat16
    cosine = functional.cosine_similarity(exact.flatten(), half.float().flatten(), dim=0)
    assert cosine > 0.999


def test_what_it_does_not_cover_goes_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Tensor:
        raise AssertionError("matmul_attention was used")

    monkeypatch.setattr(cpu_attention, "matmul_attention", never)
    query, key, value = (drawn(1, 2, 6, 8, seed=seed) for seed in range(3))
    halves = [tensor.bfloat16() for tensor in (query, key, value)]
    allowed = torch.ones(6, 6, dtype=torch.bool).tril()
    attend = functional.scaled_dot_product_attention
    expected = [
        attend(query, key, value),
        attend(*halves, is_causal=True),
        attend(*halves, attn_mask=allowed),
        attend(*(half[0] for half in halves)),
    ]
    with MatmulAttention():
        found = [
            attend(query, key, value),
            attend(*halves, is_causal=True),
            attend(*halves, attn_mask=allowed),
            attend(*(half[0] for half in halves)),
        ]
        with pytest.raises(AssertionError, match="was used"):
            attend(*halves)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)
