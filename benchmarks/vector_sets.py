"""Sets of vectors that indexes are measured on, and how hard they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.views import load_views
from likeness.types import Embeddings, StoredVectors

HELD_OUT = 1000
_CLUSTERS = 1000
_LATENT = 32
_BLOCK = 50_000


def vectors_of(name: str, n: int, folder: Path) -> tuple[StoredVectors, Embeddings]:
    """float16 [n, d] and held-out queries float32 [1000, d] of the same kind.

    name: `clustered` (512 numbers, made here and kept in the folder) or `views` (192, made before
    by `benchmarks.views` in the folder's `views`). A smaller n is the beginning of a larger one.
    """
    if name == "views":
        rows = load_views(folder / "views", n + HELD_OUT)
        # The last shard's photos are in the others too, as other views: so are real queries'.
        return rows[HELD_OUT:], rows[:HELD_OUT].astype(np.float32)
    path = folder / "clustered.npy"
    if not path.exists() or len(np.load(path, mmap_mode="r")) < n + HELD_OUT:
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, clustered(max(n, 1_000_000) + HELD_OUT))
        partial.rename(path)
    rows = np.load(path, mmap_mode="r")
    return rows[HELD_OUT : n + HELD_OUT], np.asarray(rows[:HELD_OUT], dtype=np.float32)


def clustered(n: int, dim: int = 512, *, seed: int = 0) -> StoredVectors:
    """float16 [n, dim], unit length: 1,000 groups, each spread over 32 directions of its own with
    falling weight, and a little in all. Random noise in all directions would have no near and far.
    """
    random = np.random.default_rng(seed)
    centres = random.standard_normal((_CLUSTERS, dim), dtype=np.float32)
    weights = (1.0 / np.arange(1, _LATENT + 1) ** 0.35).astype(np.float32)
    spread = random.standard_normal((_CLUSTERS, _LATENT, dim), dtype=np.float32)
    spread *= 0.35 * weights[:, None]
    out = np.empty((n, dim), dtype=np.float16)
    for start in range(0, n, _BLOCK):
        stop = min(n, start + _BLOCK)
        group = np.sort(random.integers(0, _CLUSTERS, stop - start))
        latent = random.standard_normal((stop - start, _LATENT), dtype=np.float32)
        rows = random.standard_normal((stop - start, dim), dtype=np.float32)
        rows *= np.float32(0.15)
        ends = np.searchsorted(group, np.arange(_CLUSTERS + 1))
        for g in range(_CLUSTERS):
            mine = slice(ends[g], ends[g + 1])
            rows[mine] += centres[g] + latent[mine] @ spread[g]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        out[start:stop] = rows[random.permutation(stop - start)]
    return out


def local_dimension(scores: np.ndarray) -> float:
    """Median local intrinsic dimension by maximum likelihood (Amsaleg et al. 2015, eq. 13).

    scores: [q, k] dot products of unit vectors with their k nearest, best first.
    """
    distances = np.sqrt(np.maximum(2 - 2 * scores.astype(np.float64), 1e-12))
    ratios = np.log(distances[:, :-1] / distances[:, -1:])
    return float(np.median(-1.0 / np.minimum(ratios.mean(axis=1), -1e-9)))
