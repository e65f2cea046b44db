"""k nearest neighbours of every vector among all the others, in blocks of bounded memory.

Two ways, both matrix products with the best k picked from each block before the next is computed:

- `exact_neighbours`: every row against every row.
- `cell_neighbours`: every row against the rows of the few k-means cells nearest to it (the
  inverted file of Jégou et al., 2011, section IV, turned around: cells outside, queries inside, so
  that each cell is one dense product), then exact scores for the candidates kept.

The products run in half precision where the machine is faster at that; what they select is
re-scored in float32, so that scores are exact whichever way the candidates were found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from likeness.telemetry import pulse
from likeness.vectors.blocks import (
    Best,
    Block,
    Rows,
    best_on_device,
    load,
    load_torch,
    product_dtype,
    rescored,
    with_margin,
)
from likeness.vectors.kmeans import kmeans_centroids
from likeness.vectors.neighbours import Neighbours, Vectors, merged, recall_at

__all__ = [
    "Neighbours",
    "Vectors",
    "cell_neighbours",
    "exact_neighbours",
    "merged",
    "recall_at",
    "top_k",
]

_BLOCK_SCORES = 1 << 24
"""Scores computed at a time: 64 MiB in float32."""
_EXACT_DTYPE_ROWS = 16_384


def exact_neighbours(vectors: Vectors, k: int, *, device: str = "cpu") -> Neighbours:
    """The k nearest other rows of every row. Cost: n² d; memory: n k and one block."""
    return top_k(vectors, vectors, k, device=device, without_self=True)


def top_k(
    queries: Vectors,
    base: Vectors,
    k: int,
    *,
    device: str = "cpu",
    without_self: bool = False,
    full_precision: bool | None = None,
) -> Neighbours:
    """The k rows of base nearest to each query, exhaustively.

    without_self: queries are the base, and row i is no answer to query i. full_precision: products
    in float32; None: for small tasks, where time does not matter. In half precision more than k
    are kept and re-scored: a true neighbour is lost only if more than the margin tie with it
    within the rounding of a block about its middle.
    """
    _check(queries, base, k)
    if full_precision is None:
        full_precision = len(base) <= _EXACT_DTYPE_ROWS
    dtype = load_torch().float32 if full_precision else product_dtype(device, base.shape[1])
    wanted = k + int(without_self)
    kept = min(len(base), wanted if full_precision else with_margin(wanted))
    if device != "cpu":
        best = best_on_device(queries, base, kept, dtype=dtype, device=device)
        return rescored(queries, base, best, k, without_self=without_self)
    query_rows = max(1, min(len(queries), 4096))
    base_rows = max(kept, _BLOCK_SCORES // query_rows)
    best = Best(len(queries), kept)
    asking = Rows(queries, dtype, device)
    for base_start in range(0, len(base), base_rows):
        pulse.beat()
        rows_here = base[base_start : base_start + base_rows]
        block = Block(load(rows_here, load_torch().float32, device), dtype)
        for start in range(0, len(queries), query_rows):
            rows = slice(start, min(start + query_rows, len(queries)))
            best.merge(rows, *block.best(asking[rows], kept), offset=base_start)
    return rescored(queries, base, best, k, without_self=without_self)


def cell_neighbours(
    vectors: Vectors,
    k: int,
    *,
    cells: int | None = None,
    probes: int | None = None,
    sample: tuple[npt.NDArray[np.int64], Neighbours] | None = None,
    wanted_recall: float = 0.97,
    random_seed: int = 0,
    device: str = "cpu",
) -> Neighbours:
    """Almost the k nearest other rows of every row: those in the `probes` cells nearest to it.

    cells: None: half the square root of n, by measurement. probes: None: as many as find
    wanted_recall of the true neighbours of `sample` (rows int64 [s], and their exact neighbours);
    12 without a sample.
    Cost: n (cells + probes n / cells) d.
    """
    _check(vectors, vectors, k)
    n, d = vectors.shape
    cells = min(n, cells or max(1, round(0.5 * n**0.5)))
    centroids = kmeans_centroids(vectors, cells, random_seed=random_seed, iterations=8)
    if probes is None:
        probes = 12 if sample is None else _probes_for(vectors, centroids, *sample, wanted_recall)
    probes = min(probes, cells)
    probed = top_k(vectors, centroids, probes, device=device).positions
    order = np.argsort(probed.ravel(), kind="stable")
    starts = np.searchsorted(probed.ravel()[order], np.arange(cells + 1))
    members_order = np.argsort(probed[:, 0], kind="stable").astype(np.int32)
    member_starts = np.searchsorted(probed[members_order, 0], np.arange(cells + 1))

    kept = min(n, with_margin(k + 1))
    best = Best(n, kept)
    dtype = product_dtype(device, d)
    all_rows = Rows(vectors, dtype, device)
    for cell in range(cells):
        pulse.beat()
        members = members_order[member_starts[cell] : member_starts[cell + 1]]
        asking = (order[starts[cell] : starts[cell + 1]] // probes).astype(np.int64)
        if not len(members) or not len(asking):
            continue
        block = Block(load(vectors[members], load_torch().float32, device), dtype)
        step = max(1, _BLOCK_SCORES // len(members))
        for start in range(0, len(asking), step):
            rows = asking[start : start + step]
            best.merge(rows, *block.best(all_rows[rows], kept), lookup=members)
    return rescored(vectors, vectors, best, k, without_self=True)


def _probes_for(
    vectors: Vectors,
    centroids: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    exact: Neighbours,
    wanted_recall: float,
) -> int:
    """How many cells must be probed: where the true neighbours of a sample lie is looked up."""
    ranked = np.asarray(vectors[rows], dtype=np.float32) @ centroids.T
    neighbours = np.maximum(exact.positions, 0).ravel()
    cell_of = (
        top_k(vectors[neighbours], centroids, 1).positions[:, 0].reshape(exact.positions.shape)
    )
    own = np.take_along_axis(ranked, cell_of, 1)
    rank = (ranked[:, None, :] > own[:, :, None]).sum(axis=2)
    rank = np.sort(rank[exact.positions >= 0])
    if not len(rank):
        return 1
    return int(rank[min(len(rank) - 1, int(np.ceil(wanted_recall * len(rank))))]) + 1


def _check(queries: Vectors, base: Vectors, k: int) -> None:
    if queries.ndim != 2 or base.ndim != 2 or queries.shape[1] != base.shape[1]:
        raise ValueError(f"shapes {queries.shape} and {base.shape} are not [q, d] and [n, d]")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
