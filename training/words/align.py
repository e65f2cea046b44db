"""The projection from the locked student's features to the text space.

LiT (Zhai et al. 2022): the image tower is locked, image and text meet by a contrastive loss on
captioned photos. Beside it, on all photos, the teacher's class probabilities stand in for
captions: each photo is told which class names, and each word above the classes which photos,
the teacher means (ConSE, Norouzi et al. 2014, turned into a training target).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.encoders.tiny.network import ProjectionHead
from training.progress import Report
from training.words.classes import ClassTable, WordGroup
from training.words.features import PhotoFeatures
from training.words.text_table import TextTable

PROMPTS = ("{}", "{}", "a {}", "the {}", "a photo of a {}", "a picture of {}", "{} photo")


@dataclass(frozen=True, slots=True)
class AlignConfig:
    """captions, names, groups, keep: weights of the four losses. learning_rate: of the
    projection; text_rate: of the word pieces' vectors, 0 keeps them as they are.
    dropout: within the projection. noise: deviation added to features, relative to their own."""

    hidden: int = 256
    steps: int = 600
    captioned_batch: int = 256
    photo_batch: int = 512
    learning_rate: float = 2e-3
    text_rate: float = 2e-4
    weight_decay: float = 0.05
    dropout: float = 0.3
    captions: float = 1.0
    names: float = 0.5
    groups: float = 0.5
    keep: float = 1.0
    temperature: float = 0.05
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sentences:
    """Texts with the large tower's reduced vectors [n, d]: what the text table must not forget."""

    texts: Sequence[str]
    targets: Tensor


class Aligner:
    """Trains a projection and, gently, the text table."""

    def __init__(
        self,
        features: PhotoFeatures,
        captions: Sequence[Sequence[str]],
        classes: ClassTable,
        table: TextTable,
        sentences: Sentences,
        config: AlignConfig,
    ) -> None:
        torch.manual_seed(config.seed)
        self.features, self.classes, self.table = features, classes, table
        self.sentences, self.config = sentences, config
        self.captions = captions
        self.captioned = [i for i, own in enumerate(captions) if own]
        width = features.pooled.shape[-1]
        dim = table.bag.embedding_dim
        self.head = ProjectionHead(width, config.hidden, dim, config.dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / config.temperature)))
        self._membership = membership(classes.groups, len(classes.classes))
        self._tokens: dict[str, Tensor] = {}
        self._rng = random.Random(config.seed)

    def fit(self, report: Report) -> ProjectionHead:
        """Train for `config.steps` steps and return the projection, ready to use."""
        config = self.config
        optimiser = torch.optim.AdamW(
            [
                {"params": self.head.parameters(), "rate": config.learning_rate},
                {"params": [self.log_scale], "rate": config.learning_rate, "weight_decay": 0.0},
                {
                    "params": self.table.parameters(),
                    "rate": config.text_rate,
                    "weight_decay": 0.0,
                },
            ],
            weight_decay=config.weight_decay,
        )
        self.table.requires_grad_(config.text_rate > 0)
        self.head.train()
        for step in range(config.steps):
            fall = 0.5 * (1 + math.cos(math.pi * step / config.steps))
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * fall * min(1.0, (step + 1) / 20)
            losses = self._losses()
            weights = (config.captions, config.names, config.groups, config.keep)
            total = torch.stack(
                [w * v for w, v in zip(weights, losses.values(), strict=True)]
            ).sum()
            optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if (step + 1) % 50 == 0:
                shown = " ".join(f"{k} {float(v.detach()):.3f}" for k, v in losses.items())
                report(f"words: step {step + 1} of {config.steps}  {shown}")
        self.head.eval()
        return self.head

    def _losses(self) -> dict[str, Tensor]:
        return {
            "captions": self._caption_loss(),
            **self._photo_losses(),
            "keep": self._keep_loss(),
        }

    def _project(self, rows: Sequence[int]) -> Tensor:
        view = torch.tensor(self._rng.choices(range(len(self.features.pooled)), k=len(rows)))
        pooled = self.features.pooled[view, torch.tensor(rows)].float()
        return functional.normalize(self.head(pooled), dim=-1)

    def _embed(self, texts: Sequence[str]) -> Tensor:
        new = [t for t in dict.fromkeys(texts) if t not in self._tokens]
        self._tokens.update(zip(new, self.table.tokenise(new), strict=True))
        embedded: Tensor = self.table([self._tokens[t] for t in texts])
        return embedded

    def _caption_loss(self) -> Tensor:
        """Symmetric InfoNCE between photos and one caption of each."""
        if not self.captioned:
            return torch.zeros(())
        count = min(self.config.captioned_batch, len(self.captioned))
        rows = self._rng.sample(self.captioned, count)
        images = self._project(rows)
        texts = self._embed([self._rng.choice(self.captions[i]) for i in rows])
        scores = self.log_scale.exp() * images @ texts.T
        own = torch.arange(count)
        return 0.5 * (
            functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
        )

    def _photo_losses(self) -> dict[str, Tensor]:
        """KL to the teacher's classes by their names, and of photos by the words above them."""
        total = self.features.pooled.shape[1]
        rows = self._rng.sample(range(total), min(self.config.photo_batch, total))
        images = self._project(rows)
        wanted = self.features.probabilities[torch.tensor(rows)].float()
        names = self._embed([self._phrase(c.words) for c in self.classes.classes])
        scale = self.log_scale.exp()
        by_name = functional.kl_div(
            (scale * images @ names.T).log_softmax(-1), wanted, reduction="batchmean"
        )
        groups = self._embed([self._phrase(g.words) for g in self.classes.groups])
        mass = wanted @ self._membership  # [photos, groups]
        shown = mass.sum(0) > 1.0
        target = (mass / mass.sum(0).clamp(min=1e-6)).T[shown]
        by_group = functional.kl_div(
            (scale * groups[shown] @ images.T).log_softmax(-1), target, reduction="batchmean"
        )
        return {"names": by_name, "groups": by_group}

    def _keep_loss(self) -> Tensor:
        """1 - cosine between the table's vectors of general texts and the large tower's."""
        rows = self._rng.sample(
            range(len(self.sentences.texts)), min(512, len(self.sentences.texts))
        )
        own = self._embed([self.sentences.texts[i] for i in rows])
        return 1 - (own * self.sentences.targets[rows]).sum(-1).mean()

    def _phrase(self, words: Sequence[str]) -> str:
        """One of the synonyms, mostly the usual name, in one of the forms people ask in."""
        word = words[0] if self._rng.random() < 0.6 else self._rng.choice(list(words))
        return self._rng.choice(PROMPTS).format(word)


def membership(groups: Sequence[WordGroup], classes: int) -> Tensor:
    """float [classes, groups]: 1 where a class lies below a group."""
    found = torch.zeros(classes, len(groups))
    for column, group in enumerate(groups):
        found[list(group.members), column] = 1.0
    return found
