"""The projection from the locked student's features to the text space.

LiT (Zhai et al. 2022): the image tower is locked, image and text meet by a contrastive loss on
captioned photos. Added to the projection, and trained together with it, is the mean of the class
names' vectors weighted by the student's class probabilities (ConSE, Norouzi et al. 2014), which
covers the classes that no caption speaks of. On all photos class probabilities stand in for
captions: each photo is told which class names, and each word above the classes which photos,
are meant.

The text table sums its pieces' vectors, so a linear map behind the sum is the same as the map
applied to every row: that is how the table is fitted to images without forgetting what it knows,
and why sums can be computed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.encoders.tiny.network import ProjectionHead
from training.progress import Report
from training.words.classes import ClassTable, WordGroup
from training.words.text_table import TextTable

PROMPTS = ("{}", "{}", "a {}", "the {}", "a photo of a {}", "a picture of {}", "{} photo")


@dataclass(frozen=True, slots=True)
class AlignConfig:
    """captions, names, groups, keep: weights of the four losses. learning_rate: of the
    projection; text_rate: of the text table's map. class_weight: length of the sure class's
    vector beside the projection's, which has length 1. above: share of the words above a class
    in its vector, each weighted by its number of classes to the power -narrowness. soft: share
    of a caption's target that goes to captions like it. dropout: within the projection.
    jitter: deviation of the noise added to the unit features."""

    hidden: int = 256
    steps: int = 300
    captioned_batch: int = 256
    photo_batch: int = 256
    learning_rate: float = 2e-3
    text_rate: float = 5e-4
    weight_decay: float = 0.1
    dropout: float = 0.5
    jitter: float = 0.02
    captions: float = 1.0
    names: float = 0.3
    groups: float = 1.0
    keep: float = 1.0
    class_weight: float = 0.7
    above: float = 0.8
    narrowness: float = 0.5
    temperature: float = 0.05
    soft: float = 0.2
    soft_temperature: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AlignPhotos:
    """Locked features of n photos (views of one photo are rows of their own).

    pooled: float [n, 2 w], `pool` of the student's features. own: float [n, classes], the
    student's class probabilities; wanted: the teacher's, or the same where those were not
    computed. captions: of each row, () for none.
    """

    pooled: Tensor
    own: Tensor
    wanted: Tensor
    captions: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Texts with the large tower's reduced vectors [n, d]: what the text table must not forget."""

    texts: Sequence[str]
    targets: Tensor


@dataclass(frozen=True, slots=True)
class Aligned:
    """projection: ready to use. class_words: float [classes, d], to be added to it, weighted by
    class probabilities. The text table has been changed in place."""

    projection: ProjectionHead
    class_words: Tensor


class Aligner:
    """Trains a projection, and a linear map of the text table with it."""

    def __init__(
        self,
        photos: AlignPhotos,
        classes: ClassTable,
        table: TextTable,
        sentences: Sentences,
        config: AlignConfig,
    ) -> None:
        self.photos, self.classes, self.table, self.config = photos, classes, table, config
        self.generator = torch.Generator().manual_seed(config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            dim = table.bag.embedding_dim
            self.head = ProjectionHead(photos.pooled.shape[1], config.hidden, dim, config.dropout)
        self.map = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.map.weight)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / config.temperature)))
        pairs = [(i, text) for i, own in enumerate(photos.captions) for text in own]
        self._pair_photo = torch.tensor([i for i, _ in pairs], dtype=torch.long)
        self._pair_text = table.sums([text for _, text in pairs])
        self._names = _synonyms(table, [c.words for c in classes.classes])
        self._groups = _synonyms(table, [g.words for g in classes.groups])
        self._prompts = table.sums([p.format("") for p in PROMPTS])
        self._sentences, self._targets = table.sums(sentences.texts), sentences.targets
        self._membership = membership(classes.groups, len(classes.classes))
        # What each row has of each group, once: [n, groups].
        self._mass = photos.wanted.float() @ self._membership
        # A narrow word says more of a class than a broad one.
        sizes = self._membership.sum(0).clamp(min=1)
        self._narrow = self._membership * sizes.pow(-config.narrowness)

    def fit(self, report: Report) -> Aligned:
        """Train for `config.steps` steps."""
        config = self.config
        optimiser = torch.optim.AdamW(
            [
                {"params": self.head.parameters(), "rate": config.learning_rate},
                {"params": [self.log_scale], "rate": config.learning_rate, "weight_decay": 0.0},
                {"params": self.map.parameters(), "rate": config.text_rate, "weight_decay": 0.0},
            ],
            weight_decay=config.weight_decay,
        )
        self.head.train()
        class_words = self.class_words().detach()
        for step in range(config.steps):
            if step % 25 == 0:  # follows the text table's map, which moves slowly
                class_words = self.class_words().detach()
            fall = 0.5 * (1 + math.cos(math.pi * step / config.steps))
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * fall * min(1.0, (step + 1) / 20)
            losses = self._losses(class_words)
            weights = (config.captions, config.names, config.groups, config.keep)
            total = torch.stack([w * v for w, v in zip(weights, losses.values(), strict=True)])
            optimiser.zero_grad(set_to_none=True)
            total.sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if (step + 1) % 250 == 0:
                shown = " ".join(f"{k} {float(v.detach()):.3f}" for k, v in losses.items())
                report(f"words: step {step + 1} of {config.steps}  {shown}")
        self.head.eval()
        with torch.no_grad():
            class_words = self.class_words()
            self.table.bag.weight.copy_(self.map(self.table.bag.weight))
        return Aligned(self.head, class_words)

    def class_words(self) -> Tensor:
        """[classes, d]: each class's names, with a share of the words above it."""
        names = self._unit(self._names.mean(1))
        groups = self._unit(self._groups.mean(1))
        above = functional.normalize(self._narrow @ groups, dim=-1)
        mixed = functional.normalize(names + self.config.above * above, dim=-1)
        return self.config.class_weight * mixed

    def image_vectors(self, rows: Tensor, class_words: Tensor) -> Tensor:
        """[n, d], L2 norm 1, of these rows of the photos."""
        pooled = self.photos.pooled[rows].float()
        if self.head.training and self.config.jitter:
            size = pooled.norm(dim=-1, keepdim=True) * self.config.jitter
            noise = torch.randn(pooled.shape, generator=self.generator) * pooled.shape[1] ** -0.5
            pooled = pooled + noise * size
        projected = functional.normalize(self.head(pooled), dim=-1)
        return functional.normalize(projected + self.photos.own[rows].float() @ class_words, dim=-1)

    def _losses(self, class_words: Tensor) -> dict[str, Tensor]:
        return {
            "captions": self._caption_loss(class_words),
            **self._photo_losses(class_words),
            "keep": self._keep_loss(),
        }

    def _unit(self, sums: Tensor) -> Tensor:
        return functional.normalize(self.map(sums), dim=-1)

    def _draw(self, count: int, among: int) -> Tensor:
        return torch.randperm(among, generator=self.generator)[:count]

    def _caption_loss(self, class_words: Tensor) -> Tensor:
        """Symmetric InfoNCE between photos and one caption of each; a photo's other captions in
        the batch are not held against it, and alike captions count as partly right."""
        if not len(self._pair_photo):
            return torch.zeros(())
        config = self.config
        pairs = self._draw(config.captioned_batch, len(self._pair_photo))
        photo, texts = self._pair_photo[pairs], self._unit(self._pair_text[pairs])
        scores = self.log_scale.exp() * self.image_vectors(photo, class_words) @ texts.T
        scores, target = caption_targets(scores, photo, texts, config.soft, config.soft_temperature)
        return 0.5 * (
            functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)
        )

    def _photo_losses(self, class_words: Tensor) -> dict[str, Tensor]:
        """KL to the classes by their names, and of photos by the words above the classes."""
        rows = self._draw(self.config.photo_batch, len(self.photos.pooled))
        images = self.image_vectors(rows, class_words)
        wanted = self.photos.wanted[rows].float()
        scale = self.log_scale.exp()
        by_name = functional.kl_div(
            (scale * images @ self._phrases(self._names).T).log_softmax(-1),
            wanted,
            reduction="batchmean",
        )
        mass = self._mass[rows]
        shown = mass.sum(0) > 1.0
        target = (mass / mass.sum(0).clamp(min=1e-6)).T[shown]
        groups = self._phrases(self._groups)[shown]
        by_group = functional.kl_div(
            (scale * groups @ images.T).log_softmax(-1), target, reduction="batchmean"
        )
        return {"names": by_name, "groups": by_group}

    def _keep_loss(self) -> Tensor:
        """1 - cosine between the table's vectors of general texts and the large tower's."""
        rows = self._draw(256, len(self._sentences))
        return 1 - (self._unit(self._sentences[rows]) * self._targets[rows]).sum(-1).mean()

    def _phrases(self, synonyms: Tensor) -> Tensor:
        """Of each thing one synonym, in one of the forms people ask in: [n, d], L2 norm 1."""
        count, choices, _ = synonyms.shape
        usual = torch.rand(count, generator=self.generator) < 0.6
        other = torch.randint(choices, (count,), generator=self.generator)
        word = synonyms[torch.arange(count), torch.where(usual, 0, other)]
        prompt = torch.randint(len(PROMPTS), (count,), generator=self.generator)
        return self._unit(word + self._prompts[prompt])


def caption_targets(
    scores: Tensor, photo: Tensor, texts: Tensor, soft: float, temperature: float
) -> tuple[Tensor, Tensor]:
    """(scores, target), both [n, n]: other captions of a row's own photo are taken out, and the
    share `soft` of the target goes to captions like its own."""
    own = torch.eye(len(photo))
    same = (photo[:, None] == photo[None, :]) & (own == 0)
    alike = ((texts @ texts.T).detach() / temperature).masked_fill(same, -1e4).softmax(-1)
    return scores.masked_fill(same, -1e4), soft * alike + (1 - soft) * own


def membership(groups: Sequence[WordGroup], classes: int) -> Tensor:
    """float [classes, groups]: 1 where a class lies below a group."""
    found = torch.zeros(classes, len(groups))
    for column, group in enumerate(groups):
        found[list(group.members), column] = 1.0
    return found


def _synonyms(table: TextTable, words: Sequence[Sequence[str]], most: int = 4) -> Tensor:
    """[n, most, d]: the sums of each thing's first synonyms, repeated where it has fewer."""
    chosen = [[own[i % len(own)] for i in range(most)] for own in (w[:most] for w in words)]
    return table.sums([w for own in chosen for w in own]).view(len(words), most, -1)
