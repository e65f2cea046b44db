"""Compressed kinds: four bits a quarter of a number choose candidates, float16 decides.

Product quantisation (Jégou, Douze, Schmid 2011) with 16 centroids for every four numbers, scanned
from registers (André, Kermarrec, Le Scouarnec 2015; FAISS's fast scan): d / 8 bytes an image. One
cell is a scan of everything; many cells are an inverted file, of which a query visits some. The
candidates are scored again, see `candidates`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, StoredVectors
from likeness.vectors.cores import cores
from likeness.vectors.engine import load_faiss
from likeness.vectors.halfscan import Selection

_NUMBERS_PER_CODE = 4
_BLOCK_ROWS = 65_536
"""Rows encoded at a time: 128 MiB of float32 at d = 512."""

_TRAINING_ROWS = 65_536
_ROWS_PER_CELL = 64
"""Of the sample that k-means sees."""


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


def build_engine(vectors: StoredVectors, cells: int) -> Any:
    """A trained and filled FAISS index over float16 rows, read block by block.

    Memory: the codes (d / 8 + 8 bytes a row), and some 300 MB at d = 512 for the training sample
    and a block. cells: 1 for a scan of everything.
    """
    faiss = load_faiss()
    n, d = vectors.shape
    wide = -(-d // _NUMBERS_PER_CODE) * _NUMBERS_PER_CODE
    quantizer = faiss.IndexFlatIP(wide)
    engine = faiss.IndexIVFPQFastScan(
        quantizer, wide, cells, wide // _NUMBERS_PER_CODE, 4, faiss.METRIC_INNER_PRODUCT
    )
    engine.own_fields = True
    quantizer.this.disown()
    engine.by_residual = True
    engine.cp.niter, engine.cp.max_points_per_centroid = 10, _ROWS_PER_CELL
    engine.pq.cp.niter = 10
    with cores().some(cores().total):
        engine.train(_training_sample(vectors, cells, wide))
        for start in range(0, n, _BLOCK_ROWS):
            engine.add(_padded(vectors[start : start + _BLOCK_ROWS].astype(np.float32), wide))
    return engine


def _training_sample(vectors: StoredVectors, cells: int, wide: int) -> Embeddings:
    n = len(vectors)
    sample = min(n, max(_TRAINING_ROWS, cells * _ROWS_PER_CELL))
    rows = np.sort(np.random.default_rng(0).choice(n, sample, replace=False))
    return _padded(np.take(vectors, rows, axis=0).astype(np.float32), wide)


def _padded(rows: Embeddings, wide: int) -> Embeddings:
    """Rows with zeros behind, so that their length is a multiple of what a code covers."""
    missing = wide - rows.shape[1]
    return rows if not missing else np.pad(rows, ((0, 0), (0, missing)))
