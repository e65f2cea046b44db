"""The indexes that `benchmarks.index` compares: how each is built, kept, opened and asked."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings, StoredVectors
from likeness.vectors.idset import IdSet
from likeness.vectors.snapshot import open_snapshot, write_snapshot
from likeness.vectors.tail import Tail
from search.view import NOBODY, View

K = 10
STEP = 20_000
MORE = 500
"""Rows that come, and go, after an index was built."""

_TRAINED = 100_000
_REFINED = 200
"""Candidates that a FAISS index which refines looks at exactly."""


class Peer(Protocol):
    """One kind of index. efforts: values to try, cheapest first; () when there is none. filters:
    whether a search can be told what is allowed."""

    @property
    def efforts(self) -> tuple[int, ...]: ...
    @property
    def filters(self) -> bool: ...

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        """Build and store; returns how many rows are in it."""
        ...

    def open(self, rows: StoredVectors, path: Path) -> None: ...
    def search(
        self, queries: Embeddings, effort: int, allowed: np.ndarray | None
    ) -> np.ndarray: ...

    def add(self, vectors: Embeddings) -> bool:
        """At most MORE rows behind the others, as the next search sees them; False: it cannot."""
        ...

    def remove(self, rows: npt.NDArray[np.int64]) -> bool:
        """Without these from the next search on; False: it cannot."""
        ...


class Ours:
    """A snapshot of one kind, opened and searched as the product does: with what came since."""

    efforts: tuple[int, ...] = ()
    filters = True

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._sets: dict[int, IdSet] = {}

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:  # noqa: ARG002
        def batches() -> Any:
            for start in range(0, len(rows), 65_536):
                block = np.asarray(rows[start : start + 65_536])
                yield np.arange(start, start + len(block)), block

        write_snapshot(
            path,
            batches(),
            fingerprint="",
            dim=rows.shape[1],
            revision=1,
            digest="",
            kind=self.kind,
        )
        return len(rows)

    def open(self, rows: StoredVectors, path: Path) -> None:  # noqa: ARG002
        base = open_snapshot(path).index
        self._tail = Tail(base.dim)
        self._view = View(base, self._tail.view(), NOBODY, 1, None)

    def add(self, vectors: Embeddings) -> bool:
        ids = len(self._view.base) + len(self._tail) + np.arange(len(vectors))
        self._tail.apply(ids, vectors.astype(np.float16), NOBODY.ids)
        self._view = replace(self._view, tail=self._tail.view())
        return True

    def remove(self, rows: npt.NDArray[np.int64]) -> bool:
        self._tail.apply(rows[:0], np.empty((0, self._view.dim), dtype=np.float16), rows)
        removed = self._view.removed | IdSet(rows)
        self._view = replace(self._view, tail=self._tail.view(), removed=removed)
        return True

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:  # noqa: ARG002
        chosen = None
        if allowed is not None:
            if id(allowed) not in self._sets:
                self._sets[id(allowed)] = IdSet(np.flatnonzero(allowed))
            chosen = self._sets[id(allowed)]
        return self._view.search(queries, K, allowed=chosen).ids


class Faiss:
    """A FAISS index by its factory string; graphs and flat ones hold float32. {d/8} stands for an
    eighth of the dimension."""

    filters = True

    def __init__(self, spec: str, efforts: tuple[int, ...] = ()) -> None:
        self.spec, self.efforts = spec, efforts

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        import faiss

        faiss.omp_set_num_threads(threads)
        spec = self.spec.replace("{d/8}", str(rows.shape[1] // 8))
        index = faiss.index_factory(rows.shape[1], spec, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(np.asarray(rows[:_TRAINED], dtype=np.float32))
        for start in range(0, len(rows), STEP):
            index.add(np.asarray(rows[start : start + STEP], dtype=np.float32))
        faiss.write_index(index, str(path))
        return len(rows)

    def open(self, rows: StoredVectors, path: Path) -> None:  # noqa: ARG002
        import faiss

        self._faiss, self.index = faiss, faiss.read_index(str(path))

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:
        faiss = self._faiss
        parameters: Any = faiss.SearchParameters()
        if "HNSW" in self.spec:
            parameters = faiss.SearchParametersHNSW(efSearch=effort)
        elif "IVF" in self.spec:
            parameters = faiss.SearchParametersIVF(nprobe=effort)
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            parameters.sel = selector
        if "Refine" in self.spec:
            coarse = parameters
            parameters = faiss.IndexRefineSearchParameters(
                k_factor=_REFINED / K, base_index_params=coarse
            )
        found: np.ndarray = self.index.search(queries, K, params=parameters)[1]
        return found

    def add(self, vectors: Embeddings) -> bool:
        self.index.add(vectors)
        return True

    def remove(self, rows: npt.NDArray[np.int64]) -> bool:
        if "HNSW" in self.spec or "Refine" in self.spec:  # FAISS raises: not implemented
            return False
        self.index.remove_ids(self._faiss.IDSelectorBatch(rows))
        return True


class Hnswlib:
    """M 16, ef_construction 100, inner product of unit vectors."""

    efforts = (20, 40, 80, 120, 160, 240, 320, 480, 640, 960)
    filters = True

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        import hnswlib

        index = hnswlib.Index("ip", rows.shape[1])
        if path.exists():
            index.load_index(str(path), max_elements=len(rows))
        else:
            index.init_index(max_elements=len(rows), M=16, ef_construction=100)
        index.set_num_threads(threads)
        while (start := index.get_current_count()) < len(rows):
            block = np.asarray(rows[start : start + STEP], dtype=np.float32)
            with _stopwatch(path, start + len(block)):
                index.add_items(block, np.arange(start, start + len(block)))
            index.save_index(str(path) + ".new")
            Path(str(path) + ".new").rename(path)
        return int(index.get_current_count())

    def open(self, rows: StoredVectors, path: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", rows.shape[1])
        self.index.load_index(str(path), max_elements=len(rows) + MORE)
        self.index.set_num_threads(threads_used())

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:
        self.index.set_ef(max(effort, K))
        only = None
        if allowed is not None:  # called from C++, so that more threads would only wait in line
            self.index.set_num_threads(1)
            kept = allowed.tolist()
            only = kept.__getitem__
        try:
            return np.asarray(self.index.knn_query(queries, k=K, filter=only)[0], dtype=np.int64)
        except RuntimeError:  # fewer than k were reached
            return np.full((len(queries), K), -1)
        finally:
            self.index.set_num_threads(threads_used())

    def add(self, vectors: Embeddings) -> bool:
        count = self.index.get_current_count()
        self.index.add_items(vectors, count + np.arange(len(vectors)))
        return True

    def remove(self, rows: npt.NDArray[np.int64]) -> bool:
        for row in rows.tolist():
            self.index.mark_deleted(row)
        return True


class Usearch:
    """Connectivity 16, expansion 100 when adding, float16; its Python index takes no filter."""

    efforts = Hnswlib.efforts
    filters = False

    def _empty(self, dim: int) -> Any:
        from usearch.index import Index

        return Index(ndim=dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100)

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        index = self._empty(rows.shape[1])
        if path.exists():
            index.load(str(path))
        while (start := len(index)) < len(rows):
            block = np.asarray(rows[start : start + STEP])
            with _stopwatch(path, start + len(block)):
                index.add(np.arange(start, start + len(block)), block, threads=threads)
            index.save(str(path) + ".new")
            Path(str(path) + ".new").rename(path)
        return len(index)

    def open(self, rows: StoredVectors, path: Path) -> None:
        self.index = self._empty(rows.shape[1])
        self.index.load(str(path))

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:  # noqa: ARG002
        self.index.expansion_search = max(effort, K)
        found = self.index.search(queries, K, threads=threads_used())
        return np.asarray(found.keys, dtype=np.int64).reshape(len(queries), K)

    def add(self, vectors: Embeddings) -> bool:
        keys = len(self.index) + np.arange(len(vectors))
        self.index.add(keys, vectors.astype(np.float16), threads=threads_used())
        return True

    def remove(self, rows: npt.NDArray[np.int64]) -> bool:
        self.index.remove(rows, threads=threads_used())
        return True


IVF_EFFORTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PEERS: Mapping[str, Callable[[], Peer]] = {
    "likeness-exact": lambda: Ours("exact"),
    "likeness-compressed": lambda: Ours("compressed"),
    "likeness-ivf": lambda: Ours("ivf"),
    "likeness-auto": lambda: Ours("auto"),
    "faiss-flat": lambda: Faiss("Flat"),
    "faiss-ivf-flat": lambda: Faiss("IVF1024,Flat", IVF_EFFORTS),
    "faiss-ivf-pq": lambda: Faiss("IVF1024,PQ{d/8},Refine(SQfp16)", IVF_EFFORTS),
    "faiss-hnsw": lambda: Faiss("HNSW16,Flat", Hnswlib.efforts),
    "hnswlib": Hnswlib,
    "usearch": Usearch,
}


@contextlib.contextmanager
def _stopwatch(path: Path, rows: int) -> Iterator[None]:
    """Notes what one step of a build took, beside the index."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    took = {"rows": rows, "seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    with path.with_suffix(".steps").open("a") as file:
        file.write(json.dumps(took) + "\n")


def threads_used() -> int:
    return len(os.sched_getaffinity(0))
