"""What a student is worth on held-out photos: agreement with its teacher, copies found."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from likeness.encoders.tiny.network import TinyNetwork, normalise
from training.edits import edit
from training.photos import Photo, readable
from training.views import ViewSizes, shortest_square, to_pixels


@dataclass(frozen=True, slots=True)
class HeldOutViews:
    """uint8 [n, s, s, 3]: each photo for the teacher, for the student, and edited."""

    teacher: Tensor
    student: Tensor
    edited: Tensor


@dataclass(frozen=True, slots=True)
class HeldOutScores:
    """agreement: share of photos given the teacher's class. cosine: mean, of the CLS features.
    kl: of the class probabilities, nats. copies: share of edited photos whose nearest by the
    vector for copies is their original; copies_cls: the same by the CLS feature."""

    agreement: float
    cosine: float
    kl: float
    copies: float
    copies_cls: float


def held_out_views(photos: Sequence[Photo], sizes: ViewSizes) -> HeldOutViews:
    """The views to measure on; edits are seeded by position, the same in every run."""
    teacher, student, edited = [], [], []
    for index, (_, image) in enumerate(readable(photos)):
        square = shortest_square(image)
        teacher.append(to_pixels(square, sizes.teacher))
        student.append(to_pixels(square, sizes.student))
        copy = edit(image, random.Random(f"held-out/{index}"))
        edited.append(to_pixels(shortest_square(copy), sizes.student))
    return HeldOutViews(torch.stack(teacher), torch.stack(student), torch.stack(edited))


@torch.inference_mode()
def score(
    network: TinyNetwork,
    views: HeldOutViews,
    teacher_cls: Tensor,
    teacher_logits: Tensor,
    autocast: torch.autocast,
    device: torch.device,
    batch: int = 64,
) -> HeldOutScores:
    """Measure `network` against the teacher's features [n, d] and logits [n, classes]."""
    network.eval()
    cls, logits, copies, copies_edited, cls_edited = [], [], [], [], []
    for start in range(0, len(views.student), batch):
        rows = slice(start, start + batch)
        with autocast:
            plain = network.features(normalise(views.student[rows].to(device)))
            changed = network.features(normalise(views.edited[rows].to(device)))
            logits.append(network.logits(plain).float().cpu())
            copies.append(network.copies(plain).float().cpu())
            copies_edited.append(network.copies(changed).float().cpu())
        cls.append(plain.cls.float().cpu())
        cls_edited.append(changed.cls.float().cpu())
    student_logits, student_cls = torch.cat(logits), torch.cat(cls)
    return HeldOutScores(
        agreement=_share(student_logits.argmax(1) == teacher_logits.argmax(1)),
        cosine=float(functional.cosine_similarity(student_cls, teacher_cls, dim=-1).mean()),
        kl=float(
            functional.kl_div(
                student_logits.log_softmax(-1),
                teacher_logits.log_softmax(-1),
                reduction="batchmean",
                log_target=True,
            )
        ),
        copies=recall_at_1(torch.cat(copies_edited), torch.cat(copies)),
        copies_cls=recall_at_1(torch.cat(cls_edited), student_cls),
    )


def recall_at_1(queries: Tensor, originals: Tensor) -> float:
    """Share of queries whose nearest original (cosine) has the same row number."""
    scores = functional.normalize(queries, dim=-1) @ functional.normalize(originals, dim=-1).T
    return _share(scores.argmax(1) == torch.arange(len(queries)))


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())
