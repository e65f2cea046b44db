"""Sets of vectors that indexes are measured on, and how hard they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.views import load_views
from likeness.types import Embeddings, StoredVectors

HELD_OUT = 1000
_GROUPS = 20_000
_LATENT = 64
_SPREAD = 0.7
_NOISE = 0.3
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
    """float16 [n, dim], unit length: a mixture of 20,000 groups that overlap, in 64 directions of
    falling weight, with a little noise in all.

    Its parameters were chosen so that an inverted file has it as hard as on real embeddings: of
    180,000 views (`benchmarks.views`) FAISS's IVF512,Flat finds 0.20, 0.53, 0.85 and 0.99 of the
    ten nearest in 1, 4, 16 and 64 cells, of as many of these 0.25, 0.53, 0.82 and 0.97. Groups that
    stand apart, as many as there are cells, would let it find everything in the first two.
    """
    random = np.random.default_rng(seed)
    weights = (1.0 / np.sqrt(np.arange(1, _LATENT + 1))).astype(np.float32)
    basis = np.linalg.qr(random.standard_normal((dim, _LATENT)))[0].T.astype(np.float32)
    centres = random.standard_normal((_GROUPS, _LATENT), dtype=np.float32)
    out = np.empty((n, dim), dtype=np.float16)
    for start in range(0, n, _BLOCK):
        m = min(n, start + _BLOCK) - start
        latent = centres[random.integers(0, _GROUPS, m)]
        latent += np.float32(_SPREAD) * random.standard_normal((m, _LATENT), dtype=np.float32)
        rows = (latent * weights) @ basis
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        noise = random.standard_normal((m, dim), dtype=np.float32)
        rows += np.float32(_NOISE / np.sqrt(dim)) * noise
        out[start : start + m] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def local_dimension(scores: np.ndarray) -> float:
    """Median local intrinsic dimension by maximum likelihood (Amsaleg et al. 2015, eq. 13).

    scores: [q, k] dot products of unit vectors with their k nearest, best first.
    """
    distances = np.sqrt(np.maximum(2 - 2 * scores.astype(np.float64), 1e-12))
    ratios = np.log(distances[:, :-1] / distances[:, -1:])
    return float(np.median(-1.0 / np.minimum(ratios.mean(axis=1), -1e-9)))
