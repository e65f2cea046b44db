"""What codes are made of: which directions are kept, and in how many bytes; found on a sample.

Vectors are projected on their leading directions, those are mixed by a random rotation, so that all
codes have about as much to say (Jégou et al. 2010, section 3.2), and product quantised (Jégou,
Douze, Schmid 2011), one, two or four numbers and four bits a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings
from likeness.vectors.cores import one_thread
from likeness.vectors.engine import load_faiss

SAMPLE_ROWS = 65_536

Layouts: TypeAlias = tuple[tuple[tuple[int, int], ...], ...]
"""Directions that are kept (at most) and numbers a code, the shorter codes first."""

LEADING_DIRECTIONS: Layouts = (((64, 1), (128, 2)), ((128, 1), (256, 2)))
"""In 32 bytes, and in 64. Candidates until 99.3 % of the ten nearest are among them, at
1,000,000 × 512 of the clustered set: 68 and 212; 102 by the last (and 834 by 64 directions in 16
bytes). Scanning costs by the byte: the longer are for vectors that need them."""

_ALL = 1 << 16
ALL_DIRECTIONS: Layouts = (((_ALL, 4),), ((_ALL, 2),))
"""In an eighth of a byte a number, and in a fourth: for vectors without leading directions. Recall
at most at 100,000 × 512 around a thousand centres, as much noise in each direction: 0.962 by the
codes above, 0.989 by these."""

_TRAINED_ROWS = 16_384
"""A thousand for each of the sixteen values of a code."""

_ASKED, _NEIGHBOURS, _BLOCK = 512, 10, 64
_WANTED = 0.99
_DEEP = 512
_FAR = 200
"""So far down the shorter codes may put a neighbour, at the wanted quantile. It changes little with
the number of rows: 43 and 105 of 65,536, and 53 and 153 of 1,000,000, by the first two layouts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """turn: float32 [r, d]; leading: float32 [c, r], c of the directions before they were mixed.

    quantiser: FAISS's, trained on turned rows.
    """

    turn: npt.NDArray[np.float32]
    leading: npt.NDArray[np.float32]
    quantiser: Any


LEADING = 64
"""Directions in which cells are told apart. At 1,000,000 × 512 they find as much as in all."""


def find_layout(sample: Embeddings, layouts: Layouts = LEADING_DIRECTIONS) -> Layout:
    """The shortest codes that tell the neighbours of the sample's rows. sample: float32 [n, d]."""
    dim = sample.shape[1]
    axes = _axes(sample)
    asked = np.linspace(0, len(sample) - 1, min(_ASKED, len(sample))).astype(np.int64)
    nearest = _nearest(sample, asked)
    best: Layout | None = None
    for same_length in layouts:
        least = len(sample) + 1
        for directions, numbers in same_length:
            layout = _layout(sample, axes[: directions if dim > directions else dim], numbers)
            far = _far(sample, layout, asked, nearest)
            if best is None or far < least:
                best, least = layout, far
        if least <= _FAR:
            break
    if best is None:
        raise ValueError("there is no layout to choose from")
    return best


def _axes(sample: Embeddings) -> npt.NDArray[np.float32]:
    """Orthonormal rows [d, d]: eigenvectors of the second moments, the weightiest first.

    Not about the mean: what is compared are dot products.
    """
    _, vectors = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(vectors.T[::-1], dtype=np.float32)


def _layout(sample: Embeddings, axes: npt.NDArray[np.float32], numbers: int) -> Layout:
    """Codes of so many numbers of these axes; one that is left over is padded by nothing."""
    kept = len(axes) + -len(axes) % numbers
    padded = np.zeros((kept, axes.shape[1]), dtype=np.float32)
    padded[: len(axes)] = axes
    mixing = _mixing(kept)
    turn = np.ascontiguousarray(mixing @ padded)
    faiss = load_faiss()
    quantiser = faiss.ProductQuantizer(kept, kept // numbers, 4)
    quantiser.cp.niter = 10
    some = sample[:: max(1, len(sample) // _TRAINED_ROWS)]
    with one_thread():
        quantiser.train(np.ascontiguousarray(some @ turn.T))
    return Layout(turn, np.ascontiguousarray(mixing.T[:LEADING]), quantiser)


def _mixing(size: int) -> npt.NDArray[np.float32]:
    """A random rotation [size, size], always the same."""
    noise = np.random.default_rng(0).standard_normal((size, size))
    return np.ascontiguousarray(np.linalg.qr(noise)[0], dtype=np.float32)


def _nearest(sample: Embeddings, asked: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The nearest other rows of some rows of the sample: int64 [q, m]."""
    count = min(_NEIGHBOURS, len(sample) - 1)
    nearest = np.empty((len(asked), count), dtype=np.int64)
    for start in range(0, len(asked), _BLOCK):
        rows = asked[start : start + _BLOCK]
        scores = sample[rows] @ sample.T
        scores[np.arange(len(rows)), rows] = -np.inf
        nearest[start : start + len(rows)] = np.argpartition(scores, -count, axis=1)[:, -count:]
    return nearest


def _far(
    sample: Embeddings,
    layout: Layout,
    asked: npt.NDArray[np.int64],
    nearest: npt.NDArray[np.int64],
) -> int:
    """Where the codes put the nearest rows, at the wanted quantile: 1 is at the head."""
    faiss = load_faiss()
    turned = np.ascontiguousarray(sample @ layout.turn.T)
    codes = faiss.IndexPQFastScan(
        layout.quantiser.d, layout.quantiser.M, 4, faiss.METRIC_INNER_PRODUCT
    )
    codes.pq, codes.is_trained = layout.quantiser, True
    codes.add(turned)
    deep = min(len(sample), _DEEP)
    _, found = codes.search(np.ascontiguousarray(turned[asked]), deep)
    places = []
    for row, wanted in zip(found, nearest, strict=True):
        place = np.full(len(sample), deep + 1)
        place[row] = np.arange(1, deep + 1)
        places.append(place[wanted])
    ordered = np.sort(np.concatenate(places))
    return int(ordered[min(len(ordered) - 1, int(_WANTED * len(ordered)))])
