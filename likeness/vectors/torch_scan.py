"""The exact scan on a GPU: half-precision matrix products, block by block, with the top k kept.

The copy on the device is a cache of the snapshot's vector file. It proposes; the float16 rows in
the file are scored again as everywhere, so answers are the same to the bit as the processor's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.errors import SettingsError
from likeness.types import Embeddings, StoredVectors
from likeness.vectors.halfscan import Selection

_SCORES_PER_BLOCK = 1 << 26
"""Scores that stand at once, 256 MiB: at 64 queries a million rows."""

_GROUP = 128
"""Rows whose best score stands for them in the first round of the top k."""

_QUERIES = 64
"""Queries that share one pass over the vectors."""


class TorchScan:
    """Scans float16 rows held by a torch device for the highest dot products. Thread-safe."""

    def __init__(self, vectors: StoredVectors, *, device: str = "cuda") -> None:
        """vectors: float16 [n, d]; copied to the device. SettingsError when they do not fit."""
        import torch  # slow to import, and not every reader has a GPU

        self._torch: Any = torch
        self._device = torch.device(device)
        try:
            self._rows = self._copied(vectors)
        except torch.OutOfMemoryError as error:
            raise SettingsError(
                f"{vectors.nbytes >> 20} MiB of vectors do not fit on {device}; search them on the "
                "processor, or build a compressed index: `likeness reindex --index ivf`"
            ) from error

    def top(
        self, queries: Embeddings, k: int, selection: Selection
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """As HalfScan.top."""
        torch = self._torch
        hidden = self._hidden(selection)
        found: list[Any] = []
        with torch.inference_mode():
            for start in range(0, len(queries), _QUERIES):
                half, norms = self._queries(queries[start : start + _QUERIES])
                scores, rows = self._top_of(half, k, hidden)
                found.append((scores.float() * norms, rows))
            scores = torch.cat([pair[0] for pair in found])
            rows = torch.cat([pair[1] for pair in found])
        return rows.cpu().numpy(), scores.cpu().numpy()

    def above(
        self, query: npt.NDArray[np.float32], radius: float, selection: Selection
    ) -> npt.NDArray[np.int64]:
        """As HalfScan.above."""
        torch = self._torch
        hidden = self._hidden(selection)
        found = []
        with torch.inference_mode():
            half, norms = self._queries(query[None])
            scaled = radius / float(norms)
            for start, scores in self._blocks(half, hidden):
                found.append(torch.nonzero(scores[0].float() > scaled).reshape(-1) + start)
            rows: npt.NDArray[np.int64] = torch.cat(found).cpu().numpy()
        return rows

    def error(self, query: npt.NDArray[np.float32]) -> float:
        """How far a score may be off. query: float32 [d].

        The query is rounded to float16 (2**-11 of each number, plus what underflows, 2**-25 each),
        products are summed in float32 in any order (Higham 2002, eq. 3.5), and the sum is rounded
        to float16 once more where the device gives it so. Stored norms are at most 1.01.
        """
        d, norm = len(query), float(np.linalg.norm(query.astype(np.float64)))
        summing = d * 2.0**-24 / (1.0 - d * 2.0**-24)
        return float(
            1.02 * (norm * (2.0**-11 + summing + 2.0**-11) + norm * np.sqrt(d) * 2.0**-24)
            + 2.0**-23 * norm
        )

    def _copied(self, vectors: StoredVectors) -> Any:
        """Block by block, so that a mapped file is never in memory as a whole."""
        torch = self._torch
        rows = torch.empty(vectors.shape, dtype=torch.float16, device=self._device)
        step = max(1, _SCORES_PER_BLOCK // max(1, vectors.shape[1]))
        for start in range(0, len(vectors), step):
            block = np.array(vectors[start : start + step])  # torch wants a writable one
            rows[start : start + step] = torch.from_numpy(block)
        return rows

    def _queries(self, queries: Embeddings) -> tuple[Any, Any]:
        """float16 [q, d] on the device, of unit length, and float32 [q, 1], the norms they had."""
        wide = self._torch.from_numpy(np.array(queries, dtype=np.float32)).to(self._device)
        norms = self._torch.linalg.vector_norm(wide, dim=1, keepdim=True)
        return (wide / norms).to(self._torch.float16), norms

    def _hidden(self, selection: Selection) -> Any:
        """bool [n] on the device of the rows that must not be found; None: none."""
        if selection.everything:
            return None
        hidden = np.ones(selection.total, dtype=np.bool_)
        hidden[selection.rows] = False
        return self._torch.from_numpy(hidden).to(self._device)

    def _blocks(self, half: Any, hidden: Any) -> Any:
        """(first row, scores [q, rows]) over all rows."""
        step = max(_GROUP, _SCORES_PER_BLOCK // len(half) // _GROUP * _GROUP)
        for start in range(0, len(self._rows), step):
            scores = half @ self._rows[start : start + step].T
            if hidden is not None:
                scores.masked_fill_(hidden[start : start + step], -self._torch.inf)
            yield start, scores

    def _top_of(self, half: Any, k: int, hidden: Any) -> tuple[Any, Any]:
        """Scores [q, k] and rows [q, k], best first: block by block, the best so far kept."""
        torch = self._torch
        best_scores: Any = None
        best_rows: Any = None
        for start, scores in self._blocks(half, hidden):
            block_scores, block_rows = self._top_in_block(scores, k)
            block_rows = block_rows + start
            if best_scores is not None:
                block_scores = torch.cat([best_scores, block_scores], dim=1)
                block_rows = torch.cat([best_rows, block_rows], dim=1)
            keep = min(k, block_scores.shape[1])
            best_scores, at = torch.topk(block_scores, keep, dim=1)
            best_rows = torch.gather(block_rows, 1, at)
        return best_scores, best_rows

    def _top_in_block(self, scores: Any, k: int) -> tuple[Any, Any]:
        """The k best of a block [q, m], by groups: the k best lie in the k groups with the best
        maxima, so one pass finds those, and the rest looks at k groups only."""
        torch = self._torch
        q, m = scores.shape
        groups = m // _GROUP
        if groups <= 2 * k or m % _GROUP:
            values, rows = torch.topk(scores, min(k, m), dim=1)
            return values, rows
        grouped = scores.view(q, groups, _GROUP)
        chosen = torch.topk(grouped.amax(dim=2), k, dim=1).indices
        inside = torch.gather(grouped, 1, chosen[:, :, None].expand(q, k, _GROUP)).reshape(q, -1)
        best, at = torch.topk(inside, k, dim=1)
        return best, torch.gather(chosen, 1, at // _GROUP) * _GROUP + at % _GROUP
