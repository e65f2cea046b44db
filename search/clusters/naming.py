"""Names for clusters: words that tell each from the others, not merely words that fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings

_TEMPERATURE = 60.0
_PROMPTS = ("a photo of {}", "{}")
_SMOOTHING = 1e-4


def word_vectors(
    words: Sequence[str], embed_texts: Callable[[Sequence[str]], Embeddings]
) -> Embeddings:
    """Unit vectors of words, float32 [w, d]: the mean over two ways to put each."""
    total = sum(embed_texts([prompt.format(word) for word in words]) for prompt in _PROMPTS)
    vectors = np.asarray(total, dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def names_by_words(
    middles: Sequence[Embeddings], words: Sequence[str], vectors: Embeddings, *, count: int = 2
) -> list[str]:
    """A name per cluster, no two alike.

    middles: per cluster, unit vectors float32 [m, d] of some of its images in a space of words.
    vectors: of the words, float32 [w, d]. A word's weight in a cluster is the share of the images'
    attention that it gets (softmax over the vocabulary: the term frequency), times the logarithm
    of that share over its share in all clusters (the inverse document frequency).
    """
    if not middles:
        return []
    shares = np.stack([_attention(images, vectors) for images in middles])
    overall = shares.mean(axis=0, keepdims=True)
    weights = shares * np.log((shares + _SMOOTHING) / (overall + _SMOOTHING))
    order = np.argsort(-weights, axis=1, kind="stable")
    names: list[str] = []
    taken: set[str] = set()
    for ranked, weight in zip(order, weights, strict=True):
        chosen = [words[ranked[0]]]
        chosen += [
            words[word]
            for word in ranked[1:count]
            if weight[word] > 0.3 * weight[ranked[0]] and weight[word] > 0
        ]
        names.append(_unlike(chosen, [words[word] for word in ranked], taken))
        taken.add(names[-1])
    return names


def names_by_folders(paths: Sequence[Sequence[str]]) -> list[str]:
    """A name per cluster from the folder names that are frequent in it and rare elsewhere."""
    counts = [
        Counter(part for path in cluster for part in set(PurePosixPath(path).parts[1:-1]))
        for cluster in paths
    ]
    spread = Counter(part for count in counts for part in count)
    names: list[str] = []
    taken: set[str] = set()
    for number, (count, cluster) in enumerate(zip(counts, paths, strict=True)):
        weight = {
            part: share / max(1, len(cluster)) * np.log((1 + len(paths)) / spread[part])
            for part, share in count.items()
            if share >= 0.4 * len(cluster)
        }
        ranked = sorted(weight, key=lambda part: (-weight[part], part))
        good = [part for part in ranked if weight[part] > 0.1]
        names.append(_unlike(good[:1] or [f"cluster {number + 1}"], good, taken))
        taken.add(names[-1])
    return names


def _attention(images: Embeddings, vectors: Embeddings) -> npt.NDArray[np.float32]:
    logits = _TEMPERATURE * (images @ vectors.T)
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    mean = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(mean, dtype=np.float32)


def _unlike(chosen: Sequence[str], more: Sequence[str], taken: set[str]) -> str:
    """The chosen words as a name that is not taken: with a further word, or a number."""
    name = ", ".join(chosen)
    for word in more:
        if name not in taken:
            return name
        if word not in chosen:
            name = ", ".join([*chosen, word])
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return name if name not in taken else f"{name} {number}"
