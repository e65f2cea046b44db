"""Compressed kinds: a few bits a direction choose candidates, float16 decides.

Vectors are projected on their leading directions, those are mixed by a random rotation, so that all
codes have about as much to say (Jégou et al. 2010, section 3.2), and product quantised (Jégou,
Douze, Schmid 2011), two numbers and four bits a code. Codes are scanned from registers (André,
Kermarrec, Le Scouarnec 2015; FAISS's fast scan). One cell is a scan of everything; many cells are
an inverted file, of which a query visits some. The candidates are scored again, see `candidates`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, StoredVectors
from likeness.vectors.cores import cores
from likeness.vectors.engine import load_faiss
from likeness.vectors.halfscan import Selection

_WEIGHT_KEPT = 0.96
_FEWEST_DIRECTIONS, _MOST_DIRECTIONS = 64, 256
"""Codes are of the directions that hold this share of the second moments, so many at least and at
most. Of 200,000 × 512 of the clustered set, recall@10 with 100 candidates: 0.995 by 256 directions
in 64 bytes, 0.955 by the 512 numbers as they come, four a code, in as many bytes."""

_CELL_DIRECTIONS = 64
"""Cells are told apart in the first of them. At 1,000,000 × 512 that puts all into 1,024 cells in
2.2 s instead of 8.4, and finds as much in them."""

_BLOCK_ROWS = 65_536
"""Rows turned and encoded at a time: 128 MiB of float32 at d = 512."""

_TRAINING_ROWS = 65_536
_ROWS_PER_CELL = 32
"""Of the sample that k-means sees."""

_ITERATIONS = 6


class Codes:
    """FAISS's inverted file of 4-bit codes, asked for candidates."""

    most: int | None = None
    most_listed: int | None = None

    def __init__(self, stored: Any) -> None:
        """stored: what `build_engine` made."""
        faiss = load_faiss()
        self._stored = stored  # owns what the others point into
        turn = faiss.downcast_VectorTransform(stored.chain.at(0))
        self._turn = faiss.vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
        self._engine = faiss.downcast_index(stored.index)
        self.cells = int(self._engine.nlist)

    def candidates(
        self, queries: Embeddings, n: int, selection: Selection, nprobe: int
    ) -> npt.NDArray[np.int64]:
        faiss = load_faiss()
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        if not selection.everything:
            selector = faiss.IDSelectorBitmap(selection.bits)
            parameters.sel = selector
        # A single query is one thread's work: at 1,000,000 × 512 a second one made it no quicker
        # (0.96 and 0.97 ms) and cost as much again.
        with cores().some(1 if len(queries) == 1 else cores().total):
            _, rows = self._engine.search(self._turned(queries), n, params=parameters)
        return np.asarray(rows, dtype=np.int64)

    def cells_until(
        self, queries: Embeddings, rows: npt.NDArray[np.int64], vectors: StoredVectors
    ) -> npt.NDArray[np.int64]:
        """How many cells each query visits until it has been in that of each row.

        rows: int64 [q, m], -1 where there is none; vectors: float16 [n, d], those indexed.
        Returns int64 [q, m]; 0 where there is none.
        """
        quantizer = self._engine.quantizer
        wanted, where = np.unique(rows[rows >= 0], return_inverse=True)
        with cores().some(cores().total):
            _, order = quantizer.search(self._turned(queries), self.cells)
            held = np.take(vectors, wanted, axis=0).astype(np.float32)
            _, cell = quantizer.search(self._turned(held), 1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(1, self.cells + 1)[None], axis=1)
        until = np.zeros(rows.shape, dtype=np.int64)
        cell_of = np.zeros(rows.shape, dtype=np.int64)
        cell_of[rows >= 0] = cell[where.reshape(-1), 0]
        np.copyto(until, np.take_along_axis(rank, cell_of, axis=1), where=rows >= 0)
        return until

    def _turned(self, rows: Embeddings) -> Embeddings:
        return np.ascontiguousarray(rows @ self._turn.T)


def build_engine(vectors: StoredVectors, cells: int) -> Any:
    """A trained and filled FAISS index over float16 rows, read block by block.

    Memory: the codes and 8 bytes a row, and some 300 MB at d = 512 for the training sample and a
    block. cells: 1 for a scan of everything.
    """
    faiss = load_faiss()
    n = len(vectors)
    with cores().some(cores().total):
        sample = _training_sample(vectors, cells)
        directions = _directions(sample)
        kept, mixing = len(directions), _mixing(len(directions))
        directions = np.ascontiguousarray(mixing @ directions)
        turned = np.ascontiguousarray(sample @ directions.T)
        quantizer = (
            faiss.IndexFlatIP(kept) if cells == 1 else _cell_quantizer(turned, mixing, cells)
        )
        engine = faiss.IndexIVFPQFastScan(
            quantizer, kept, cells, kept // 2, 4, faiss.METRIC_INNER_PRODUCT
        )
        engine.own_fields = True
        quantizer.this.disown()
        # What is coded is the vector, not what its cell leaves of it: so codes do not depend on
        # how cells are told apart, and a query needs one table for all of them.
        engine.by_residual = False
        engine.pq.cp.niter = 10
        engine.train(turned)
        for start in range(0, n, _BLOCK_ROWS):
            rows = vectors[start : start + _BLOCK_ROWS].astype(np.float32)
            engine.add(np.ascontiguousarray(rows @ directions.T))
    turn = _transform(directions)
    stored = faiss.IndexPreTransform(turn, engine)
    stored.own_fields = True
    turn.this.disown()
    engine.this.disown()
    return stored


def code_bytes(dim: int) -> int:
    """Of one image's code and number, at most."""
    return min(dim + 1, _MOST_DIRECTIONS) // 4 + 1 + 8


def _directions(sample: Embeddings) -> npt.NDArray[np.float32]:
    """Orthonormal rows [r, d], r even, of the leading eigenvectors of the sample's second moments.

    Not about the mean: what is compared are dot products.
    """
    dim = sample.shape[1]
    weights, vectors = np.linalg.eigh(sample.T @ sample)
    held = np.cumsum(weights[::-1]) / weights.sum()
    enough = int(np.searchsorted(held, _WEIGHT_KEPT)) + 1
    kept = min(dim, max(_FEWEST_DIRECTIONS, min(_MOST_DIRECTIONS, -(-enough // 16) * 16)))
    leading = np.zeros((kept + kept % 2, dim))
    leading[:kept] = vectors.T[::-1][:kept]
    return np.ascontiguousarray(leading, dtype=np.float32)


def _mixing(size: int) -> npt.NDArray[np.float32]:
    """A random rotation [size, size], always the same."""
    noise = np.random.default_rng(0).standard_normal((size, size))
    return np.ascontiguousarray(np.linalg.qr(noise)[0], dtype=np.float32)


def _cell_quantizer(turned: Embeddings, mixing: npt.NDArray[np.float32], cells: int) -> Any:
    """Tells the cell of a mixed vector by its leading directions: unit centroids of spherical
    k-means (Dhillon & Modha, 2001)."""
    faiss = load_faiss()
    leading = np.ascontiguousarray(mixing.T[:_CELL_DIRECTIONS])
    turn = _transform(leading)
    clustering = faiss.Kmeans(
        len(leading),
        cells,
        niter=_ITERATIONS,
        spherical=True,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=_ROWS_PER_CELL,
    )
    clustering.train(turn.apply(turned))
    flat = faiss.IndexFlatIP(len(leading))
    flat.add(np.ascontiguousarray(clustering.centroids, dtype=np.float32))
    quantizer = faiss.IndexPreTransform(turn, flat)
    quantizer.own_fields = True
    turn.this.disown()
    flat.this.disown()
    return quantizer


def _transform(rows: npt.NDArray[np.float32]) -> Any:
    faiss = load_faiss()
    turn = faiss.LinearTransform(rows.shape[1], rows.shape[0], False)
    faiss.copy_array_to_vector(np.ascontiguousarray(rows).reshape(-1), turn.A)
    turn.is_trained = True
    return turn


def _training_sample(vectors: StoredVectors, cells: int) -> Embeddings:
    n = len(vectors)
    sample = min(n, max(_TRAINING_ROWS, cells * _ROWS_PER_CELL))
    rows = np.sort(np.random.default_rng(0).choice(n, sample, replace=False))
    return np.take(vectors, rows, axis=0).astype(np.float32)
