"""The small text tower learned from a large one: a vector per word piece.

Start: each piece's own sentence vector, reduced by PCA and weighted by rarity, as model2vec does
it (Tulkens & van Dongen 2024; SIF, Arora et al. 2017). Then fitted, so that sums of pieces point
where the large tower points for whole texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from likeness.encoders.tiny.text import UNKNOWN, piece_tokenizer
from training.progress import Report

PIECE = re.compile(r"(##)?[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Reduction:
    """A linear map from the large text space to d dimensions: (x - mean) @ axes."""

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, vectors: Tensor, dim: int) -> Reduction:
        """PCA of `vectors` [n, D] to `dim` axes."""
        mean = vectors.mean(0)
        _, _, axes = torch.linalg.svd((vectors - mean).T @ (vectors - mean), full_matrices=False)
        return cls(mean, axes[:dim].T.contiguous())

    def __call__(self, vectors: Tensor) -> Tensor:
        """[n, D] → [n, d], L2 norm 1."""
        return functional.normalize((vectors - self.mean) @ self.axes, dim=-1)


class TextTable(nn.Module):
    """pieces: [v], the first `[UNK]`. vectors: [v, d], row 0 zero."""

    def __init__(self, pieces: Sequence[str], vectors: Tensor) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.tokenizer: Tokenizer = piece_tokenizer({p: i for i, p in enumerate(pieces)})
        self.bag = nn.EmbeddingBag.from_pretrained(
            vectors.clone(), freeze=False, mode="sum", padding_idx=0
        )

    def tokenise(self, texts: Sequence[str]) -> list[Tensor]:
        """Piece ids of each text; [0] for a text without any."""
        encoded = self.tokenizer.encode_batch(list(texts))
        return [torch.tensor(e.ids or [0]) for e in encoded]

    def forward(self, tokenised: Sequence[Tensor]) -> Tensor:
        """Sums of the pieces' vectors, L2 norm 1: [n, d]."""
        lengths = torch.tensor([len(t) for t in tokenised])
        offsets = torch.cat((torch.zeros(1, dtype=torch.long), lengths.cumsum(0)[:-1]))
        return functional.normalize(self.bag(torch.cat(list(tokenised)), offsets), dim=-1)

    @torch.no_grad()
    def sums(self, texts: Sequence[str]) -> Tensor:
        """As `embed`, not brought to unit length: [n, d]."""
        parts = [self.bag.weight[ids].sum(0) for ids in self.tokenise(texts)]
        return torch.stack(parts) if parts else torch.zeros(0, self.bag.embedding_dim)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Tokenise and sum: [n, d], L2 norm 1."""
        embedded: Tensor = self(self.tokenise(texts))
        return embedded


def choose_pieces(vocabulary: Sequence[str]) -> list[str]:
    """`[UNK]`, then the pieces of Latin letters and digits; the rest of the vocabulary is
    punctuation, other scripts and unused places, which say nothing of a photo here."""
    return [UNKNOWN, *(p for p in vocabulary if PIECE.fullmatch(p))]


def first_table(pieces: Sequence[str], own: Tensor, reduction: Reduction) -> TextTable:
    """The table before fitting. own: the large tower's vectors [v, D] of the pieces alone.

    Weights: a / (a + p) with the probability p of a piece by Zipf's law, since the vocabulary is
    ordered by frequency.
    """
    rank = torch.arange(1, len(pieces) + 1, dtype=torch.float32)
    probability = 1 / (rank * torch.log(torch.tensor(float(len(pieces)))))
    weight = 1e-3 / (1e-3 + probability)
    vectors = reduction(own) * weight[:, None]
    vectors[0] = 0
    return TextTable(pieces, vectors)


def fit_table(
    table: TextTable,
    texts: Sequence[str],
    targets: Tensor,
    report: Report,
    *,
    epochs: int = 10,
    batch: int = 512,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> None:
    """Move the pieces' vectors so that the texts' sums agree with `targets` [n, d], L2 norm 1.

    Loss: 1 - cosine, and the KL divergence between the batch's similarities (which text is like
    which), since ranking is what the vectors are for.
    """
    tokenised = table.tokenise(texts)
    optimiser = torch.optim.Adam(table.parameters(), lr=learning_rate)
    order = np.random.default_rng(seed)
    steps = epochs * (len(texts) // batch)
    step = 0
    for epoch in range(epochs):
        total = 0.0
        for rows in np.array_split(order.permutation(len(texts)), max(1, len(texts) // batch)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * (1 - step / max(1, steps + 1))
            own, wanted = table([tokenised[i] for i in rows]), targets[rows]
            loss = 1 - (own * wanted).sum(-1).mean()
            loss = loss + 0.5 * functional.kl_div(
                (own @ own.T / 0.1).log_softmax(-1),
                (wanted @ wanted.T / 0.1).log_softmax(-1),
                reduction="batchmean",
                log_target=True,
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total, step = total + float(loss.detach()) * len(rows), step + 1
        report(f"text table: epoch {epoch + 1} of {epochs}, loss {total / len(texts):.4f}")
