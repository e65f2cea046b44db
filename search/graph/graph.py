"""The neighbour graph as a value: who is near whom in a space, and how near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likeness.types import ImageIds
from likeness.vectors.knn import Neighbours


@dataclass(frozen=True, slots=True)
class NeighbourGraph:
    """image_ids: int64 [n] ascending; row i of `neighbours` belongs to image_ids[i].

    neighbours: positions int32 [n, k] are rows of this graph, never the row itself, padded with
    -1; scores are cosines. k: the length of a fresh list; a list is shorter where neighbours have
    gone since, and what it names is always the true front of the order (up to `recall`).
    fingerprint: of the encoder. revision: of the collection when the vectors were read.
    method: `exact` or `cells`. recall: share of the true nearest 10 found, measured on a sample.
    """

    image_ids: ImageIds
    neighbours: Neighbours
    fingerprint: str
    revision: int
    method: str
    recall: float

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def k(self) -> int:
        return self.neighbours.k

    def edges(
        self, min_score: float = -1.0, k: int | None = None
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Undirected edges: rows i < j, int32 [m] each, and scores float32 [m], ordered by (i, j).

        An edge is there when either names the other among its first k.
        """
        positions = self.neighbours.positions[:, :k]
        scores = self.neighbours.scores[:, :k]
        here = (positions >= 0) & (scores >= min_score)
        rows = np.broadcast_to(np.arange(len(positions), dtype=np.int32)[:, None], positions.shape)[
            here
        ]
        others, weights = positions[here], scores[here]
        low, high = np.minimum(rows, others), np.maximum(rows, others)
        keys = low.astype(np.int64) * max(1, len(self)) + high
        _, first = np.unique(keys, return_index=True)
        return low[first], high[first], weights[first]

    def rows_of(self, image_ids: ImageIds) -> npt.NDArray[np.int64]:
        """The row of each image, -1 where it is not in the graph. image_ids: int64 [m]."""
        if not len(self):
            return np.full(len(image_ids), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.image_ids, image_ids), len(self) - 1)
        return np.where(self.image_ids[at] == image_ids, at, -1)
