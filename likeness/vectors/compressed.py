"""Compressed kinds: a few bits a number choose candidates, float16 decides.

Product quantisation (Jégou, Douze, Schmid 2011) with 16 centroids for every four numbers, or two
of shorter vectors, scanned from registers (André, Kermarrec, Le Scouarnec 2015; FAISS's fast scan):
d / 8 or d / 4 bytes an image. One cell is a scan of everything; many cells are an inverted file, of
which a query visits some. The candidates are scored again, see `candidates`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, StoredVectors
from likeness.vectors.cores import cores
from likeness.vectors.engine import load_faiss
from likeness.vectors.halfscan import Selection

_LONG_DIM = 384
"""From here on a code stands for four numbers, below for two. Of 180,000 views of real photos by
ViT-Tiny, d = 192, with 200 candidates: recall@10 0.98 with two numbers a code, 0.85 with four."""

_CELL_DIM = 64
"""Cells are told apart in so many directions, those that the vectors have most of. At 1,000,000 ×
512 that puts a million into 1,024 cells in 2.2 s instead of 8.4, and finds as much in them."""

_BLOCK_ROWS = 65_536
"""Rows encoded at a time: 128 MiB of float32 at d = 512."""

_TRAINING_ROWS = 65_536
_ROWS_PER_CELL = 32
"""Of the sample that k-means sees."""

_ITERATIONS = 6


class Codes:
    """FAISS's inverted file of 4-bit codes, asked for candidates."""

    most: int | None = None
    most_listed: int | None = None

    def __init__(self, engine: Any) -> None:
        """engine: IndexIVFPQFastScan, trained and filled."""
        self._engine = engine
        self._wide = int(engine.d)
        self.cells = int(engine.nlist)

    def candidates(
        self, queries: Embeddings, n: int, selection: Selection, nprobe: int
    ) -> npt.NDArray[np.int64]:
        faiss = load_faiss()
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        if not selection.everything:
            selector = faiss.IDSelectorBitmap(selection.bits)
            parameters.sel = selector
        # A single query of a single cell is one thread's work, whatever it is given.
        with cores().some(1 if len(queries) == 1 and nprobe == 1 else cores().total):
            _, rows = self._engine.search(_padded(queries, self._wide), n, params=parameters)
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
            _, order = quantizer.search(_padded(queries, self._wide), self.cells)
            held = np.take(vectors, wanted, axis=0).astype(np.float32)
            _, cell = quantizer.search(_padded(held, self._wide), 1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(1, self.cells + 1)[None], axis=1)
        until = np.zeros(rows.shape, dtype=np.int64)
        cell_of = np.zeros(rows.shape, dtype=np.int64)
        cell_of[rows >= 0] = cell[where.reshape(-1), 0]
        np.copyto(until, np.take_along_axis(rank, cell_of, axis=1), where=rows >= 0)
        return until


def build_engine(vectors: StoredVectors, cells: int) -> Any:
    """A trained and filled FAISS index over float16 rows, read block by block.

    Memory: the codes and 8 bytes a row, and some 300 MB at d = 512 for the training sample and a
    block. cells: 1 for a scan of everything.
    """
    faiss = load_faiss()
    n, d = vectors.shape
    per_code = numbers_per_code(d)
    wide = -(-d // per_code) * per_code
    with cores().some(cores().total):
        sample = _training_sample(vectors, cells, wide)
        quantizer = faiss.IndexFlatIP(wide) if cells == 1 else _cell_quantizer(sample, cells)
        engine = faiss.IndexIVFPQFastScan(
            quantizer, wide, cells, wide // per_code, 4, faiss.METRIC_INNER_PRODUCT
        )
        engine.own_fields = True
        quantizer.this.disown()
        # What is coded is the vector, not what its cell leaves of it: so codes do not depend on
        # how cells are told apart, and a query needs one table for all of them.
        engine.by_residual = False
        engine.pq.cp.niter = 10
        engine.train(sample)
        for start in range(0, n, _BLOCK_ROWS):
            engine.add(_padded(vectors[start : start + _BLOCK_ROWS].astype(np.float32), wide))
    return engine


def numbers_per_code(dim: int) -> int:
    return 4 if dim >= _LONG_DIM else 2


def code_bytes(dim: int) -> int:
    """Of one image's code, without its number."""
    per_code = numbers_per_code(dim)
    return -(-dim // per_code) // 2 + 1


def _cell_quantizer(sample: Embeddings, cells: int) -> Any:
    """Tells the cell of a vector by its leading directions: unit centroids of spherical k-means
    (Dhillon & Modha, 2001) in the span of the first eigenvectors of the sample's second moments."""
    faiss = load_faiss()
    dim = sample.shape[1]
    few = min(_CELL_DIM, dim)
    _, directions = np.linalg.eigh(sample.T @ sample)
    leading = np.ascontiguousarray(directions.T[::-1][:few], dtype=np.float32)
    turn = faiss.LinearTransform(dim, few, False)
    faiss.copy_array_to_vector(leading.reshape(-1), turn.A)
    turn.is_trained = True
    clustering = faiss.Kmeans(
        few,
        cells,
        niter=_ITERATIONS,
        spherical=True,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=_ROWS_PER_CELL,
    )
    clustering.train(turn.apply(sample))
    flat = faiss.IndexFlatIP(few)
    flat.add(np.ascontiguousarray(clustering.centroids, dtype=np.float32))
    quantizer = faiss.IndexPreTransform(turn, flat)
    quantizer.own_fields = True
    turn.this.disown()
    flat.this.disown()
    return quantizer


def _training_sample(vectors: StoredVectors, cells: int, wide: int) -> Embeddings:
    n = len(vectors)
    sample = min(n, max(_TRAINING_ROWS, cells * _ROWS_PER_CELL))
    rows = np.sort(np.random.default_rng(0).choice(n, sample, replace=False))
    return _padded(np.take(vectors, rows, axis=0).astype(np.float32), wide)


def _padded(rows: Embeddings, wide: int) -> Embeddings:
    """Rows with zeros behind, so that their length is a multiple of what a code covers."""
    missing = wide - rows.shape[1]
    return rows if not missing else np.pad(rows, ((0, 0), (0, missing)))
