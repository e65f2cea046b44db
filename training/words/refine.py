"""The last step of learning words: every word piece moves a little, towards what captions show.

The alignment before it moves all pieces together, by one linear map. What "dog" or "two" is worth
in a caption differs from what it is worth in a sentence, and the photos say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.progress import Report
from training.words.align import Aligned, AlignPhotos, caption_targets
from training.words.text_table import TextTable

SCALE = 20.0


@dataclass(frozen=True, slots=True)
class RefineConfig:
    """piece_rate, projection_rate: learning rates, falling to zero. keep: weight of staying
    where general texts point. soft: see AlignConfig."""

    steps: int = 150
    batch: int = 256
    piece_rate: float = 1e-3
    projection_rate: float = 3e-4
    keep: float = 1.0
    soft: float = 0.2
    soft_temperature: float = 0.1
    seed: int = 0


def refine(
    aligned: Aligned,
    photos: AlignPhotos,
    table: TextTable,
    general: list[str],
    config: RefineConfig,
    report: Report,
) -> None:
    """Change `table` and `aligned.projection` in place by the captions of `photos`.

    general: texts whose vectors shall stay as they are. Does nothing without captions.
    """
    pairs = [(i, text) for i, own in enumerate(photos.captions) for text in own]
    if not pairs:
        return
    photo = torch.tensor([i for i, _ in pairs])
    captions, texts = table.tokenise([t for _, t in pairs]), table.tokenise(general)
    former = functional.normalize(table.sums(general), dim=-1)
    table.requires_grad_(True)
    optimiser = torch.optim.Adam(
        [
            {"params": table.parameters(), "rate": config.piece_rate},
            {"params": aligned.projection.parameters(), "rate": config.projection_rate},
        ]
    )
    generator = torch.Generator().manual_seed(config.seed)
    aligned.projection.train()
    for step in range(config.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * (1 - step / config.steps)
        chosen = torch.randperm(len(pairs), generator=generator)[: config.batch]
        kept = torch.randperm(len(general), generator=generator)[: config.batch]
        words = table([captions[i] for i in chosen])
        scores = SCALE * _images(aligned, photos, photo[chosen]) @ words.T
        scores, target = caption_targets(
            scores, photo[chosen], words, config.soft, config.soft_temperature
        )
        loss = 0.5 * (
            functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)
        )
        moved = 1 - (table([texts[i] for i in kept]) * former[kept]).sum(-1).mean()
        optimiser.zero_grad(set_to_none=True)
        (loss + config.keep * moved).backward()
        optimiser.step()
        if (step + 1) % 50 == 0:
            report(
                f"words: refined {step + 1} of {config.steps}  captions {loss.item():.3f} "
                f"moved {moved.item():.3f}"
            )
    aligned.projection.eval()
    table.requires_grad_(False)


def _images(aligned: Aligned, photos: AlignPhotos, rows: Tensor) -> Tensor:
    projected = functional.normalize(aligned.projection(photos.pooled[rows].float()), dim=-1)
    return functional.normalize(projected + photos.own[rows].float() @ aligned.class_words, dim=-1)
