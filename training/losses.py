"""The terms of the training loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def probability_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL divergence of the student's class probabilities from the teacher's, mean over rows.

    Function matching (Beyer et al. 2022): temperature 1, no labels.
    """
    return functional.kl_div(
        functional.log_softmax(student_logits.float(), dim=-1),
        functional.log_softmax(teacher_logits.float(), dim=-1),
        reduction="batchmean",
        log_target=True,
    )


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of the features, mean over rows. Both [n, d]."""
    return 1.0 - functional.cosine_similarity(student.float(), teacher.float(), dim=-1).mean()


def copy_loss(first: Tensor, second: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE between two edits of each photo (SSCD, Pizzi et al. 2022, eq. 1).

    first, second: [n, d], L2 norm 1; row i of both shows photo i. queue: [m, d] vectors of
    other photos from earlier steps, further negatives (cross-batch memory, Wang et al. 2020).
    """
    both = torch.cat((first, second))
    count = len(first)
    scores = torch.cat((both @ both.T, both @ queue.T), dim=1) / temperature
    own = torch.arange(2 * count, device=scores.device)
    scores[own, own] = -torch.inf
    return functional.cross_entropy(scores, (own + count) % (2 * count))


def spread_loss(vectors: Tensor, photos: Tensor) -> Tensor:
    """KoLeo differential entropy (SSCD, eq. 4): large where a vector's nearest other is near.

    vectors: [n, d], L2 norm 1. photos: [n], which photo a vector shows; vectors of the same
    photo are not each other's neighbours.
    """
    scores = vectors @ vectors.T
    scores = scores.masked_fill(photos[:, None] == photos[None, :], -2.0)
    nearest = scores.max(dim=1).values
    distance = (2.0 - 2.0 * nearest).clamp(min=1e-6).sqrt()
    return -distance.log().mean()


def mix(pixels: Tensor, share: float) -> Tensor:
    """Mixup of each image with the batch in reverse: share · own + (1 - share) · other."""
    return pixels.mul(share).add_(pixels.flip(0), alpha=1.0 - share)
