"""The best k of many scores, block by block: products in half precision, exact scores at the end.

In bfloat16 a score near 1 is rounded to steps of 0.004, within which whole clusters tie. So the
rows of a block are taken about their middle: what is left of the scores is small, its steps are
finer by as much, and the middle's own part is added in float32 where it matters, between blocks.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.telemetry import pulse
from likeness.vectors.neighbours import Neighbours, Vectors, ordered

_FIRST_STAGE = 16
_HELD_BYTES = 1 << 29
_LOADED_ROWS = 65_536
_RESCORE_ROWS = 1024


class Rows:
    """Rows of an array as tensors: converted once where the whole is small enough to be held."""

    def __init__(self, vectors: Vectors, dtype: Any, device: str) -> None:
        self._vectors, self._dtype, self._device = vectors, dtype, device
        held = vectors.size * dtype.itemsize <= _room(device)
        self._whole = load(vectors, dtype, device) if held else None

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Any:
        if self._whole is None:
            return load(self._vectors[rows], self._dtype, self._device)
        if isinstance(rows, slice):
            return self._whole[rows]
        return self._whole[load_torch().from_numpy(rows.astype(np.int64)).to(self._device)]


def _room(device: str) -> int:
    """Bytes of vectors that may be held: half of what a GPU has left, 512 MiB elsewhere."""
    if not device.startswith("cuda"):
        return _HELD_BYTES
    free, _ = load_torch().cuda.mem_get_info(device)
    return int(free // 2)


class Block:
    """Rows [b, d] to score queries against, about their middle unless the products are in float32.

    rows: as exact as there are; rounded to dtype only after the middle is taken off.
    """

    def __init__(self, rows: Any, dtype: Any) -> None:
        wide = rows.float()
        self._middle = None if dtype == wide.dtype else wide.mean(dim=0)
        self._rows = wide if self._middle is None else (wide - self._middle).to(dtype)

    def best(self, queries: Any, kept: int) -> tuple[Any, Any]:
        """The `kept` highest scores of each query, and their columns. queries: [q, d]."""
        scores, columns = best_of_block(queries @ self._rows.T, kept)
        if self._middle is None:
            return scores, columns
        return scores.float() + (queries.float() @ self._middle)[:, None], columns


class Best:
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
        torch = load_torch()
        found = columns.cpu().numpy()
        positions = (found + offset).astype(np.int32) if lookup is None else lookup[found]
        all_scores = torch.cat(
            [torch.from_numpy(self.scores[rows]), scores.to(device="cpu", dtype=torch.float32)], 1
        )
        top, order = all_scores.topk(self.scores.shape[1], dim=1)
        joined = np.concatenate([self.positions[rows], positions], axis=1)
        self.scores[rows] = top.numpy()
        self.positions[rows] = np.take_along_axis(joined, order.numpy(), 1)


def best_on_device(
    queries: Vectors,
    base: Vectors,
    kept: int,
    *,
    dtype: Any,
    device: str,
    query_rows: int = 8192,
    base_rows: int = 65_536,
) -> Best:
    """The `kept` best rows of base for each query, merged where they are computed.

    A GPU would else spend its time on sending the best of every block here.
    """
    torch = load_torch()
    best, rows = Best(len(queries), kept), Rows(base, dtype, device)
    for query_start in range(0, len(queries), query_rows):
        pulse.beat()
        asked = slice(query_start, query_start + query_rows)
        asking = load(queries[asked], dtype, device)
        scores = torch.full((len(asking), kept), -torch.inf, device=device)
        positions = torch.full((len(asking), kept), -1, dtype=torch.int64, device=device)
        for start in range(0, len(base), base_rows):
            found, columns = Block(rows[start : start + base_rows], dtype).best(asking, kept)
            scores, order = torch.cat([scores, found.float()], 1).topk(kept, dim=1)
            positions = torch.cat([positions, columns + start], 1).gather(1, order)
        best.scores[asked] = scores.cpu().numpy()
        best.positions[asked] = positions.cpu().numpy()
    return best


def best_of_block(scores: Any, k: int) -> tuple[Any, Any]:
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
    torch = load_torch()
    within = torch.arange(_FIRST_STAGE, device=scores.device)
    columns = (chosen[:, :, None] * _FIRST_STAGE + within).reshape(q, -1)
    if whole < b:
        rest = torch.arange(whole, b, device=scores.device).expand(q, -1)
        columns = torch.cat([columns, rest], dim=1)
    top = scores.gather(1, columns).topk(k, dim=1)
    return top.values, columns.gather(1, top.indices)


def rescored(
    queries: Vectors, base: Vectors, best: Best, k: int, *, without_self: bool
) -> Neighbours:
    """The candidates in the order of their float32 scores, without the query itself, k of them."""
    n = len(queries)
    positions = np.full((n, k), -1, dtype=np.int32)
    scores = np.full((n, k), -np.inf, dtype=np.float32)
    for start in range(0, n, _RESCORE_ROWS):
        pulse.beat()
        rows = slice(start, min(start + _RESCORE_ROWS, n))
        candidates = best.positions[rows]
        near = base[np.maximum(candidates, 0)].astype(np.float32)
        query = np.asarray(queries[rows], dtype=np.float32)
        exact = np.matmul(near, query[:, :, None])[:, :, 0]
        absent = candidates < 0
        if without_self:
            absent |= candidates == np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]
        exact[absent] = -np.inf
        chosen = ordered(np.where(absent, np.int32(-1), candidates), exact, k)
        positions[rows], scores[rows] = chosen.positions, chosen.scores
    return Neighbours(positions, scores)


def with_margin(k: int) -> int:
    """How many candidates are kept for k answers, since half precision misjudges some."""
    return k + max(16, k // 2)


def load(rows: Vectors, dtype: Any, device: str) -> Any:
    """The rows as a tensor of its own, converted piece by piece: never held twice."""
    torch = load_torch()
    loaded = torch.empty(rows.shape, dtype=dtype, device=device)
    for start in range(0, len(rows), _LOADED_ROWS):
        piece = slice(start, start + _LOADED_ROWS)
        loaded[piece] = torch.from_numpy(np.array(rows[piece]))
    return loaded


@functools.cache
def product_dtype(device: str, d: int) -> Any:
    """The type in which this machine multiplies fastest: float16 on GPUs, else as timed."""
    torch = load_torch()
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


def load_torch() -> Any:
    import torch  # here, not above: slow to import, and most commands need no graph

    return torch
