from __future__ import annotations

import math

import torch
from torch.nn import functional

from training.losses import copy_loss, feature_loss, mix, probability_loss, spread_loss


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


def test_probability_loss_is_the_kl_divergence_summed_by_hand() -> None:
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    p, q = b.softmax(1), a.softmax(1)
    by_hand = sum(
        float(p[i, c]) * (math.log(float(p[i, c])) - math.log(float(q[i, c])))
        for i in range(3)
        for c in range(4)
    )
    assert math.isclose(float(probability_loss(a, b)), by_hand / 3, rel_tol=1e-4)
    assert abs(float(probability_loss(b, b))) < 1e-6


def test_copy_loss_is_infonce_computed_row_by_row() -> None:
    first, second, queue = unit(3, 8, 0), unit(3, 8, 1), unit(5, 8, 2)
    everything = [*first, *second]
    total = 0.0
    for i, anchor in enumerate(everything):
        positive = everything[(i + 3) % 6]
        others = [v for j, v in enumerate(everything) if j != i] + list(queue)
        weights = [math.exp(float(anchor @ o) / 0.1) for o in others]
        total -= math.log(math.exp(float(anchor @ positive) / 0.1) / sum(weights))
    assert math.isclose(float(copy_loss(first, second, queue, 0.1)), total / 6, rel_tol=1e-4)


def test_copy_loss_works_with_an_empty_queue() -> None:
    first = unit(4, 8, 0)
    assert float(copy_loss(first, first, torch.zeros(0, 8), 0.05)) < 0.1


def test_spread_loss_looks_at_the_nearest_vector_of_another_photo() -> None:
    vectors, photos = unit(6, 8, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    total = 0.0
    for i in range(6):
        nearest = min(
            float((vectors[i] - vectors[j]).norm()) for j in range(6) if photos[i] != photos[j]
        )
        total -= math.log(nearest)
    assert math.isclose(float(spread_loss(vectors, photos)), total / 6, rel_tol=1e-4)


def test_feature_loss_ignores_length() -> None:
    a = unit(4, 8, 5)
    assert abs(float(feature_loss(a, 7 * a))) < 1e-6


def test_mix_blends_with_the_batch_in_reverse() -> None:
    pixels = torch.tensor([[0.0], [1.0], [4.0]])
    assert torch.allclose(mix(pixels, 0.75), torch.tensor([[1.0], [1.0], [3.0]]))
    assert torch.equal(pixels, torch.tensor([[0.0], [1.0], [4.0]]))
