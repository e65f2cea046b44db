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

import functools
import time
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.vectors.kmeans import kmeans_centroids

Vectors: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]
"""[n, d], L2 norm 1 per row; may be memory-mapped."""

_BLOCK_SCORES = 1 << 24
"""Scores computed at a time: 64 MiB in float32."""
_FIRST_STAGE = 16
_HELD_BYTES = 1 << 30
_EXACT_DTYPE_ROWS = 16_384
_RESCORE_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Neighbours:
    """positions: int32 [n, k], rows of the base, best first, padded with -1.

    scores: float32 [n, k], cosine, descending, padded with -inf.
    """

    positions: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    @property
    def k(self) -> int:
        return int(self.positions.shape[1])

    def __len__(self) -> int:
        return len(self.positions)


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
    are kept and re-scored: a true neighbour is lost only if dozens tie with it within 0.004.
    """
    _check(queries, base, k)
    if full_precision is None:
        full_precision = len(base) <= _EXACT_DTYPE_ROWS
    dtype = _torch().float32 if full_precision else _product_dtype(device, base.shape[1])
    wanted = k + int(without_self)
    kept = min(len(base), wanted if full_precision else _with_margin(wanted))
    query_rows = max(1, min(len(queries), 4096))
    base_rows = max(kept, _BLOCK_SCORES // query_rows)
    best = _Best(len(queries), kept)
    asking = _Rows(queries, dtype, device)
    for base_start in range(0, len(base), base_rows):
        block = _load(base[base_start : base_start + base_rows], dtype, device)
        for start in range(0, len(queries), query_rows):
            rows = slice(start, min(start + query_rows, len(queries)))
            scores = asking[rows] @ block.T
            best.merge(rows, *_best_of_block(scores, kept), offset=base_start)
    return _rescored(queries, base, best, k, without_self=without_self)


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

    dtype = _product_dtype(device, d)
    kept = min(n, _with_margin(k + 1))
    best = _Best(n, kept)
    all_rows = _Rows(vectors, dtype, device)
    for cell in range(cells):
        members = members_order[member_starts[cell] : member_starts[cell + 1]]
        asking = (order[starts[cell] : starts[cell + 1]] // probes).astype(np.int64)
        if not len(members) or not len(asking):
            continue
        block = all_rows[members]
        step = max(1, _BLOCK_SCORES // len(members))
        for start in range(0, len(asking), step):
            rows = asking[start : start + step]
            scores = all_rows[rows] @ block.T
            best.merge(rows, *_best_of_block(scores, kept), lookup=members)
    return _rescored(vectors, vectors, best, k, without_self=True)


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


def merged(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    """The best k of two answers to the same queries; a position named by both counts once."""
    positions = np.concatenate([first.positions, second.positions], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    scores = np.where(positions < 0, -np.inf, scores).astype(np.float32)
    # By position, then score: a repeated position stands next to itself and is struck out.
    order = np.lexsort((-scores, positions), axis=1)
    positions = np.take_along_axis(positions, order, 1)
    scores = np.take_along_axis(scores, order, 1)
    again = np.zeros(positions.shape, dtype=bool)
    again[:, 1:] = positions[:, 1:] == positions[:, :-1]
    scores[again] = -np.inf
    positions = np.where(again, np.int32(-1), positions)
    return _ordered(positions, scores, k)


def recall_at(found: Neighbours, exact: Neighbours, k: int) -> float:
    """The share of the true k nearest that were found; ties with the k-th count as found."""
    true_worst = exact.scores[:, min(k, exact.k) - 1]
    have = np.isfinite(exact.scores[:, :k]).sum()
    good = (found.scores[:, :k] >= true_worst[:, None] - 1e-6).sum()
    return float(min(good, have) / have) if have else 1.0


# --------------------------------------------------------------------------- blocks


class _Rows:
    """Rows of an array as tensors: converted once where the whole is small enough to be held."""

    def __init__(self, vectors: Vectors, dtype: Any, device: str) -> None:
        self._vectors, self._dtype, self._device = vectors, dtype, device
        held = vectors.size * dtype.itemsize <= _HELD_BYTES
        self._whole = _load(vectors, dtype, device) if held else None

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Any:
        if self._whole is None:
            return _load(self._vectors[rows], self._dtype, self._device)
        if isinstance(rows, slice):
            return self._whole[rows]
        return self._whole[_torch().from_numpy(rows.astype(np.int64)).to(self._device)]


class _Best:
    """The best so far of every query: scores float32 [n, kept] and positions int32 [n, kept]."""

    def __init__(self, n: int, kept: int) -> None:
        self.scores = np.full((n, kept), -np.inf, dtype=np.float32)
        self.positions = np.full((n, kept), -1, dtype=np.int32)

    def merge(
        self,
        rows: slice | npt.NDArray[np.int64],
        scores: Any,
        columns: Any,
        *,
        offset: int = 0,
        lookup: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Take in a block's best. columns: of the block; base row = lookup[column] or + offset."""
        torch = _torch()
        found = columns.cpu().numpy()
        positions = (found + offset).astype(np.int32) if lookup is None else lookup[found]
        all_scores = torch.cat(
            [torch.from_numpy(self.scores[rows]), scores.to(device="cpu", dtype=torch.float32)], 1
        )
        top, order = all_scores.topk(self.scores.shape[1], dim=1)
        joined = np.concatenate([self.positions[rows], positions], axis=1)
        self.scores[rows] = top.numpy()
        self.positions[rows] = np.take_along_axis(joined, order.numpy(), 1)


def _best_of_block(scores: Any, k: int) -> tuple[Any, Any]:
    """topk of a [q, b] block, in two stages: the best groups of 16 columns hold the best k.

    The maximum of a group is several times cheaper to find than its place in an order.
    """
    q, b = scores.shape
    k = min(k, b)
    groups = b // _FIRST_STAGE
    if groups <= 2 * k:
        top = scores.topk(k, dim=1)
        return top.values, top.indices
    whole = groups * _FIRST_STAGE
    grouped = scores[:, :whole].reshape(q, groups, _FIRST_STAGE)
    chosen = grouped.amax(dim=2).topk(k, dim=1).indices
    torch = _torch()
    within = torch.arange(_FIRST_STAGE, device=scores.device)
    columns = (chosen[:, :, None] * _FIRST_STAGE + within).reshape(q, -1)
    if whole < b:
        rest = torch.arange(whole, b, device=scores.device).expand(q, -1)
        columns = torch.cat([columns, rest], dim=1)
    top = scores.gather(1, columns).topk(k, dim=1)
    return top.values, columns.gather(1, top.indices)


def _rescored(
    queries: Vectors, base: Vectors, best: _Best, k: int, *, without_self: bool
) -> Neighbours:
    """The candidates in the order of their float32 scores, without the query itself, k of them."""
    positions = best.positions
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    for start in range(0, len(queries), _RESCORE_ROWS):
        rows = slice(start, start + _RESCORE_ROWS)
        near = base[np.maximum(positions[rows], 0)].astype(np.float32)
        query = np.asarray(queries[rows], dtype=np.float32)
        scores[rows] = np.matmul(near, query[:, :, None])[:, :, 0]
    absent = positions < 0
    if without_self:
        absent |= positions == np.arange(len(positions), dtype=np.int32)[:, None]
    scores[absent] = -np.inf
    return _ordered(np.where(absent, np.int32(-1), positions), scores, k)


def _ordered(
    positions: npt.NDArray[np.int32], scores: npt.NDArray[np.float32], k: int
) -> Neighbours:
    """Best first; equal scores by position, so that runs agree."""
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    chosen = np.take_along_axis(positions, order, 1)
    values = np.take_along_axis(scores, order, 1)
    if chosen.shape[1] < k:
        missing = k - chosen.shape[1]
        chosen = np.pad(chosen, ((0, 0), (0, missing)), constant_values=-1)
        values = np.pad(values, ((0, 0), (0, missing)), constant_values=-np.inf)
    return Neighbours(np.ascontiguousarray(chosen), np.ascontiguousarray(values))


def _with_margin(k: int) -> int:
    return k + max(16, k // 2)


def _load(rows: Vectors, dtype: Any, device: str) -> Any:
    return _torch().from_numpy(np.array(rows)).to(device=device, dtype=dtype)


def _check(queries: Vectors, base: Vectors, k: int) -> None:
    if queries.ndim != 2 or base.ndim != 2 or queries.shape[1] != base.shape[1]:
        raise ValueError(f"shapes {queries.shape} and {base.shape} are not [q, d] and [n, d]")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")


@functools.cache
def _product_dtype(device: str, d: int) -> Any:
    """The type in which this machine multiplies fastest: float16 on GPUs, else as timed."""
    torch = _torch()
    if device != "cpu":
        return torch.float16
    left, right = torch.ones(1024, d), torch.ones(2048, d)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = left.to(dtype), right.to(dtype)
        a @ b.T
        begun = time.perf_counter()
        a @ b.T
        seconds[dtype] = time.perf_counter() - begun
    return (
        torch.bfloat16 if seconds[torch.bfloat16] < 0.7 * seconds[torch.float32] else torch.float32
    )


def _torch() -> Any:
    import torch  # here, not above: slow to import, and most commands need no graph

    return torch
