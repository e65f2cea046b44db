"""Cells of an inverted file: which one each vector stands in, and which ones a query visits.

A query visits every cell that is not much farther from it than the nearest one is: few where cells
stand apart, many where they are alike. At 1,000,000 × 512 of the clustered set, in 4,096 cells, for
98.7 % of the ten nearest that is 98,000 codes; by a number of cells, 113,000. A second copy of
each vector in another cell (Sun et al. 2023, SOAR) made that 61,000 in 8,192 cells, but no query
quicker: it doubles the codes, which no longer stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings
from likeness.vectors.cores import one_thread
from likeness.vectors.engine import load_faiss

ROWS_PER_CELL = 32
"""Of the sample that cells are trained on."""

_ROWS_PER_CENTROID = 256
_ITERATIONS = 6

_FEW = 1024
"""Up to so many cells, one level of k-means and comparing with all of them are quick."""

_GROUPS_VISITED = 0.125


class Cells:
    """Centroids in some leading directions, and the two questions that are asked of them."""

    def __init__(self, leading: npt.NDArray[np.float32], centroids: Embeddings) -> None:
        """leading: float32 [c, r], orthonormal rows; centroids: float32 [cells, c]."""
        self._leading, self._centroids = leading, centroids
        self._across = np.ascontiguousarray(centroids.T)
        self._halves = np.einsum("nd,nd->n", centroids, centroids) / 2

    def __len__(self) -> int:
        return len(self._centroids)

    def nearness(self, turned: Embeddings, lengths: npt.NDArray[np.float32]) -> Embeddings:
        """Half the squared distances to the centroids, negated, but for what all cells have alike.

        turned: float32 [q, r], queries; lengths: float32 [q, 1], their norms before they were
        turned: scores of a longer query are larger, its neighbours the same. Float32 [q, cells].
        """
        leading = turned @ self._leading.T
        leading /= lengths
        near: Embeddings = np.matmul(leading, self._across, dtype=np.float32)
        near -= self._halves
        return near

    def visited(
        self, turned: Embeddings, lengths: npt.NDArray[np.float32], reach: float
    ) -> npt.NDArray[np.int64]:
        """Cells at most `reach` less near than the nearest: int64 [q, m], nearest first.

        Padded with -1.
        """
        near = self.nearness(turned, lengths)
        bar = near.max(axis=1, keepdims=True) - reach
        if len(near) == 1:
            cells = np.flatnonzero(near[0] >= bar[0, 0])
            return cells[np.argsort(-near[0, cells])][None]
        query, cells = np.nonzero(near >= bar)
        counts = np.bincount(query, minlength=len(near))
        order = np.lexsort((-near[query, cells], query))
        starts = np.cumsum(counts) - counts
        found = np.full((len(near), int(counts.max())), -1, dtype=np.int64)
        found[query, np.arange(len(query)) - starts[query]] = cells[order]
        return found

    def reach_until(
        self,
        turned: Embeddings,
        lengths: npt.NDArray[np.float32],
        cells: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.float32]:
        """The reach from which on a query visits each of some cells.

        cells: int32 [q, m]. Returns float32 [q, m].
        """
        near = self.nearness(turned, lengths)
        of_cells = np.take_along_axis(near, cells, axis=1)
        beyond: npt.NDArray[np.float32] = near.max(axis=1, keepdims=True) - of_cells
        return beyond

    def as_quantizer(self) -> Any:
        """As FAISS keeps them with its inverted file."""
        faiss = load_faiss()
        turn, flat = as_transform(self._leading), faiss.IndexFlatL2(self._centroids.shape[1])
        flat.add(self._centroids)
        quantizer = faiss.IndexPreTransform(turn, flat)
        quantizer.own_fields = True
        turn.this.disown()
        flat.this.disown()
        return quantizer

    def placing(self) -> Placing:
        return Placing(self._centroids)

    @classmethod
    def stored_in(cls, engine: Any) -> Cells:
        """The cells of an inverted file that was read."""
        faiss = load_faiss()
        quantizer = faiss.downcast_index(engine.quantizer)
        flat = faiss.downcast_index(quantizer.index)
        centroids = faiss.vector_to_array(flat.codes).view(np.float32)
        return cls(matrix_of(quantizer.chain.at(0)), centroids.reshape(flat.ntotal, flat.d))


def as_transform(rows: npt.NDArray[np.float32]) -> Any:
    """FAISS's transform by a matrix [r, d]."""
    faiss = load_faiss()
    turn = faiss.LinearTransform(rows.shape[1], rows.shape[0], False)
    faiss.copy_array_to_vector(np.ascontiguousarray(rows).reshape(-1), turn.A)
    turn.is_trained = True
    return turn


def matrix_of(transform: Any) -> npt.NDArray[np.float32]:
    """The matrix [r, d] of FAISS's transform."""
    faiss = load_faiss()
    turn = faiss.downcast_VectorTransform(transform)
    matrix: npt.NDArray[np.float32] = faiss.vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
    return matrix


def train_cells(sample: Embeddings, leading: npt.NDArray[np.float32], count: int) -> Cells:
    """Cells by k-means in two levels, and once more over all of them for the borders.

    sample: float32 [n, c], rows in the leading directions [c, r]. 8,192 cells of 262,144 rows take
    2 s of processor time so, 50 s in one level.
    """
    groups = max(1, round(count**0.5))
    if count < _FEW:
        return Cells(leading, _k_means(sample, count))
    _, group = load_faiss().knn(sample, _k_means(sample, groups), 1)
    sizes = np.bincount(group[:, 0], minlength=groups)
    # Each group its share of the cells, rounded so that they add up.
    ends = np.rint(np.cumsum(sizes) * (count / len(sample))).astype(np.int64)
    shares = np.diff(ends, prepend=0)
    by_group = np.split(np.argsort(group[:, 0], kind="stable"), np.cumsum(sizes)[:-1])
    with one_thread():
        centroids = np.concatenate(
            [_k_means(sample[rows], int(k)) for rows, k in zip(by_group, shares, strict=True) if k]
        )
    cell = Placing(centroids).cells_of(sample)
    sizes = np.bincount(cell, minlength=count)
    order = np.argsort(cell, kind="stable")
    filled = np.flatnonzero(sizes)
    sums = np.add.reduceat(sample[order], (np.cumsum(sizes) - sizes)[filled], axis=0)
    centroids[filled] = sums / sizes[filled, None]
    return Cells(leading, centroids)


def _k_means(rows: Embeddings, count: int) -> Embeddings:
    """Centroids float32 [count, c]."""
    if len(rows) <= count:
        return np.resize(rows, (count, rows.shape[1]))
    clustering: Any = load_faiss().Kmeans(
        rows.shape[1],
        count,
        niter=_ITERATIONS,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=_ROWS_PER_CENTROID,
    )
    clustering.train(np.ascontiguousarray(rows))
    return np.ascontiguousarray(clustering.centroids, dtype=np.float32)


class Placing:
    """Gives vectors their cells; where those are many, it looks in the likely ones only."""

    def __init__(self, centroids: Embeddings) -> None:
        faiss = load_faiss()
        self._centroids = centroids
        count, dim = centroids.shape
        if count < _FEW:
            self._finder = faiss.IndexFlatL2(dim)
        else:
            groups = round(count**0.5)
            self._quantizer = faiss.IndexFlatL2(dim)
            self._quantizer.add(_k_means(centroids, groups))
            self._finder = faiss.IndexIVFFlat(self._quantizer, dim, groups, faiss.METRIC_L2)
            self._finder.is_trained = True
            self._finder.nprobe = max(1, round(groups * _GROUPS_VISITED))
        self._finder.add(centroids)

    def cells_of(self, rows: Embeddings) -> npt.NDArray[np.int32]:
        """The cell of each row: int32 [n]. rows: float32 [n, c], in the leading directions."""
        _, cells = self._finder.search(rows, 1)
        return np.asarray(cells[:, 0], dtype=np.int32)
