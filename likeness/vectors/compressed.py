"""Compressed kinds: a few bits a direction choose candidates, float16 decides.

Codes (see `layout`) are scanned from registers (André, Kermarrec, Le Scouarnec 2015; FAISS's fast
scan). One cell is a scan of everything; many cells are an inverted file (see `cells`), of which a
query visits some; the codes of a filter are scanned by themselves (see `gathered`). The candidates
are scored again, see `candidates`.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, StoredVectors
from likeness.vectors.cells import ROWS_PER_CELL, Cells, as_transform, matrix_of, train_cells
from likeness.vectors.cores import cores, helpers, one_thread
from likeness.vectors.engine import load_faiss
from likeness.vectors.gathered import Gathered
from likeness.vectors.halfscan import Selection
from likeness.vectors.layout import (
    LEADING_DIRECTIONS,
    SAMPLE_ROWS,
    Layout,
    Layouts,
    find_layout,
)

_BLOCK_ROWS = 65_536
"""Rows turned and encoded at a time: 128 MiB of float32 at d = 512."""

_CELLS_PER_THREAD = 32
"""Fewer are scanned before another thread has woken."""


class Codes:
    """FAISS's inverted file of 4-bit codes, asked for candidates."""

    most: int | None = None
    most_listed: int | None = None

    def __init__(
        self, stored: Any, codes: npt.NDArray[np.uint8], places: npt.NDArray[np.int32]
    ) -> None:
        """What `Built` has: its engine, codes and places."""
        faiss = load_faiss()
        self._stored = stored  # owns what the others point into
        self._turn = matrix_of(stored.chain.at(0))
        self._engine = faiss.downcast_index(stored.index)
        self.cells = int(self._engine.nlist)
        self._cells = Cells.stored_in(self._engine) if self.cells > 1 else None
        self._places = places
        self._gathered = Gathered(self._engine, codes)

    def candidates(
        self, queries: Embeddings, n: int, selection: Selection, reach: float, *, gather: bool
    ) -> npt.NDArray[np.int64]:
        turned = np.ascontiguousarray(queries @ self._turn.T)
        with cores().some(cores().total) as threads:
            of_filter = self._gathered.of(selection.within) if gather else None
            if of_filter is not None:
                bits = None if selection.within is selection else selection.bits
                return _scanned(of_filter, turned, n, bits)[1]
            bits = None if selection.everything else selection.bits
            if self._cells is None:
                return _scanned(self._engine, turned, n, bits)[1]
            lengths = np.linalg.norm(queries, axis=1, keepdims=True)
            visited = self._cells.visited(turned, lengths, reach)
            parts, pool = min(threads, visited.shape[1] // _CELLS_PER_THREAD), helpers()
            if len(turned) > 1 or parts < 2 or pool is None:
                return _scanned(self._engine, turned, n, bits, visited)[1]
            return _scanned_in_parts(self._engine, turned, n, bits, visited, parts, pool)

    def reach_until(
        self, queries: Embeddings, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        until = np.zeros(rows.shape, dtype=np.float32)
        if self._cells is None:
            return until
        cells = np.take(self._places, np.maximum(rows, 0))
        with cores().some(cores().total):
            lengths = np.linalg.norm(queries, axis=1, keepdims=True)
            found = self._cells.reach_until(queries @ self._turn.T, lengths, cells)
        np.copyto(until, found, where=rows >= 0)
        return until


def _scanned(
    engine: Any,
    turned: Embeddings,
    n: int,
    bits: npt.NDArray[np.uint8] | None,
    visited: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The codes' scores and rows [q, n], best first, then -1, of the rows that `bits` select.

    visited: int64 [q, m], cells, -1 for none; None: all.
    """
    faiss = load_faiss()
    parameters = faiss.SearchParametersIVF(nprobe=1 if visited is None else visited.shape[1])
    if bits is not None:
        selector = faiss.IDSelectorBitmap(bits)
        parameters.sel = selector
    if visited is None:
        scores, found = engine.search(turned, n, params=parameters)
        return scores, found
    scores = np.empty((len(turned), n), dtype=np.float32)
    found = np.empty((len(turned), n), dtype=np.int64)
    # Codes are of the vectors, not of what cells leave of them, so no distance to a centroid
    # enters a score; FAISS wants an array of them all the same.
    unused = np.zeros(visited.shape, dtype=np.float32)
    pointer = faiss.swig_ptr
    engine.search_preassigned_c(
        len(turned),
        pointer(turned),
        n,
        pointer(visited),
        pointer(unused),
        pointer(scores),
        pointer(found),
        False,
        parameters,
    )
    return scores, found


def _scanned_in_parts(
    engine: Any,
    turned: Embeddings,
    n: int,
    bits: npt.NDArray[np.uint8] | None,
    visited: npt.NDArray[np.int64],
    parts: int,
    pool: Executor,
) -> npt.NDArray[np.int64]:
    """The rows of a single query, its cells shared out among threads.

    Cells lie scattered in memory, and waiting for it is most of the time: at 1,000,000 × 512 two
    threads take 0.27 ms where one takes 0.41.
    """

    def part(at: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        with one_thread():
            cells = np.ascontiguousarray(visited[:, at::parts])
            return _scanned(engine, turned, n, bits, cells)

    others = [pool.submit(part, at) for at in range(1, parts)]
    answers = [part(0), *(other.result() for other in others)]
    scores = np.concatenate([scores[0] for scores, _ in answers])
    rows = np.concatenate([rows[0] for _, rows in answers])
    best = np.argsort(np.where(rows < 0, np.float32(np.inf), -scores), kind="stable")
    return rows[best[:n]][None]


class Built:
    """A trained and filled FAISS index over float16 rows, and what went into it.

    engine: FAISS's. codes: uint8 [n, bytes], in row order. places: int32 [n], the cell of each
    row.

    Memory while it is built: three times the codes, 28 bytes a row, and some 300 MB at d = 512 for
    the training sample and a block.
    """

    def __init__(
        self, vectors: StoredVectors, cells: int, layouts: Layouts = LEADING_DIRECTIONS
    ) -> None:
        """vectors: float16 [n, d], read block by block. cells: 1 for a scan of everything."""
        n = len(vectors)
        with cores().some(cores().total):
            layout = find_layout(_sample(vectors, SAMPLE_ROWS), layouts)
            trained = None
            if cells > 1:
                rows = _sample_rows(n, max(SAMPLE_ROWS, cells * ROWS_PER_CELL))
                leading = np.ascontiguousarray(layout.leading @ layout.turn)
                trained = train_cells(_turned(vectors, leading, rows), layout.leading, cells)
            self.codes = np.empty((n, layout.quantiser.code_size), dtype=np.uint8)
            self.places = np.zeros(n, dtype=np.int32)
            placing = None if trained is None else trained.placing()
            for start in range(0, n, _BLOCK_ROWS):
                block = slice(start, min(n, start + _BLOCK_ROWS))
                turned: Embeddings = vectors[block].astype(np.float32) @ layout.turn.T
                self.codes[block] = layout.quantiser.compute_codes(turned)
                if placing is not None:
                    self.places[block] = placing.cells_of(
                        np.ascontiguousarray(turned @ layout.leading.T)
                    )
            self.engine = _filled(layout, trained, self.codes, self.places)


def code_bytes(dim: int) -> int:
    """Of one image's codes and number, at least."""
    return min(dim, 64) // 2 + 8


def _filled(
    layout: Layout,
    cells: Cells | None,
    codes: npt.NDArray[np.uint8],
    places: npt.NDArray[np.int32],
) -> Any:
    faiss = load_faiss()
    kept, count = len(layout.turn), 1 if cells is None else len(cells)
    quantizer = _one_cell(kept) if cells is None else cells.as_quantizer()
    plain = faiss.IndexIVFPQ(
        quantizer, kept, count, layout.quantiser.M, 4, faiss.METRIC_INNER_PRODUCT
    )
    plain.by_residual, plain.pq, plain.is_trained = False, layout.quantiser, True
    ends = np.cumsum(np.bincount(places, minlength=count))
    members_of = np.split(np.argsort(places, kind="stable"), ends[:-1])
    for cell, members in enumerate(members_of):
        if len(members):
            held = np.take(codes, members, axis=0)
            plain.invlists.add_entries(
                cell, len(members), faiss.swig_ptr(members), faiss.swig_ptr(held)
            )
    plain.ntotal = len(codes)
    engine = faiss.IndexIVFPQFastScan(plain)
    engine.own_fields = True
    quantizer.this.disown()
    turn = as_transform(layout.turn)
    stored = faiss.IndexPreTransform(turn, engine)
    stored.own_fields = True
    turn.this.disown()
    engine.this.disown()
    return stored


def _one_cell(dim: int) -> Any:
    quantizer = load_faiss().IndexFlatIP(dim)
    quantizer.add(np.zeros((1, dim), dtype=np.float32))
    return quantizer


def _sample(vectors: StoredVectors, rows: int) -> Embeddings:
    return np.take(vectors, _sample_rows(len(vectors), rows), axis=0).astype(np.float32)


def _sample_rows(n: int, rows: int) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).choice(n, min(n, rows), replace=False))


def _turned(
    vectors: StoredVectors, turn: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> Embeddings:
    """Those rows, turned: float32 [m, r]. Block by block, because turned they are smaller."""
    turned = np.empty((len(rows), len(turn)), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        turned[block] = np.take(vectors, rows[block], axis=0).astype(np.float32) @ turn.T
    return turned
