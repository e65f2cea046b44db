"""The codes of what a filter allows, side by side: gathered once, scanned without a selector.

A selector visits the codes of every image of a cell, whatever share of them it lets through. The
codes of a filter (a folder, a tag, a shop's category) by themselves are scanned whole, in cells or
not: at 1,000,000 × 512 one in a hundred takes 0.1 ms a query where a selector takes 0.9. They are
gathered when it is first asked, so that an answer is the same the second time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any
from weakref import ref

import numpy as np
import numpy.typing as npt

from likeness.vectors.engine import load_faiss
from likeness.vectors.halfscan import Selection

_ROWS_HELD = 1 << 20
"""Of all filters together: 64 MiB of codes of 64 bytes. Those asked longest ago go first."""


class Gathered:
    """Gathers codes of filters, and forgets them with the filters. Thread-safe."""

    def __init__(self, engine: Any, codes: npt.NDArray[np.uint8]) -> None:
        """engine: FAISS's inverted file of 4-bit codes; codes: uint8 [n, bytes], in row order."""
        self._engine, self._codes = engine, codes
        self._held: OrderedDict[ref[Selection], Any] = OrderedDict()
        self._rows = 0
        self._lock = threading.RLock()  # forgetting may come in between, in the same thread

    def of(self, selection: Selection) -> Any | None:
        """A FAISS index of the codes of these rows, by their row; None for too many."""
        if selection.everything or selection.count > _ROWS_HELD:
            return None
        key = ref(selection, self._forget)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = self._gather(selection.rows)
        with self._lock:
            if key not in self._held:
                self._held[key] = made
                self._rows += made.ntotal
            while self._rows > _ROWS_HELD:
                _, oldest = self._held.popitem(last=False)
                self._rows -= oldest.ntotal
        return made

    def _forget(self, key: ref[Selection]) -> None:
        with self._lock:
            gone = self._held.pop(key, None)
            if gone is not None:
                self._rows -= gone.ntotal

    def _gather(self, rows: npt.NDArray[np.int64]) -> Any:
        faiss, engine = load_faiss(), self._engine
        only = faiss.IndexFlatIP(engine.d)
        only.add(np.zeros((1, engine.d), dtype=np.float32))
        plain = faiss.IndexIVFPQ(only, engine.d, 1, engine.pq.M, 4, engine.metric_type)
        plain.by_residual, plain.pq, plain.is_trained = False, engine.pq, True
        codes = np.take(self._codes, rows, axis=0)
        plain.invlists.add_entries(0, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes))
        plain.ntotal = len(rows)
        packed = faiss.IndexIVFPQFastScan(plain)
        packed.referenced_objects = [only]
        return packed
