"""The neighbour graph of a space as the lists that re-rankers read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.types import ImageIds
from search.graph.graph import NeighbourGraph
from search.rerank.interface import Scores


@dataclass(frozen=True, slots=True)
class GraphLists:
    """Nearest neighbours within the collection, by image id."""

    graph: NeighbourGraph

    def neighbours(self, image_ids: ImageIds) -> tuple[ImageIds, Scores]:
        """ids int64 [n, k] padded with -1, cosines float32 [n, k]; rows of -1 where unknown."""
        k = self.graph.k
        ids = np.full((len(image_ids), k), -1, dtype=np.int64)
        scores = np.full((len(image_ids), k), -1, dtype=np.float32)
        rows = self.graph.rows_of(image_ids)
        known = rows >= 0
        positions = self.graph.neighbours.positions[rows[known]]
        ids[known] = np.where(positions >= 0, self.graph.image_ids[positions], -1)
        scores[known] = self.graph.neighbours.scores[rows[known]]
        return ids, scores
