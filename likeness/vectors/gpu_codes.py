"""FAISS's codes in a GPU's memory: which fit, how they are filled, and how hard they look."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.errors import SettingsError
from likeness.telemetry import pulse
from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.cores import cores
from likeness.vectors.halfscan import Selection
from likeness.vectors.truth import nearest_under

log = logging.getLogger(__name__)

_MOST = 2048
"""Neighbours, and cells, that FAISS's GPU indexes select at once."""

_CODE_LENGTHS = (96, 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8, 4, 3, 2, 1)
"""Bytes of a product-quantised vector that its kernels are made for, most first."""

_MOST_A_BYTE = 16
"""Numbers that a byte of a code may stand for; coarser ones would propose at random."""

_THIN = 0.5
"""A filter that leaves less than this is the processor's: as many candidates again would go."""

_MOST_CELLS = 32_768
_DEEP = 1024
"""Candidates that recall is looked for in: what is left of 2,048 when half of them are hidden."""

_FEWEST, _ASKED = 100, 200
_FOR_WORDS = 2
"""So many times the cells are visited that stored images need: words lie elsewhere than images."""

_BLOCK_ROWS = 65_536
_ROWS_PER_CELL = 64
_LEAST_TRAINED_ON = 65_536


def code_for(vectors: StoredVectors, free: int, device: str) -> str:
    """FAISS's name of the finest code of all rows [n, d] that fits into so many bytes."""
    n, dim = vectors.shape
    lengths = [m for m in _CODE_LENGTHS if dim % m == 0 and 2 * m <= dim <= _MOST_A_BYTE * m]
    for name, size in (("SQ8", dim), *((f"PQ{m}", m) for m in lengths)):
        if 1.1 * n * (size + 8) <= free:  # 8: the row's number; lists have some room at the end
            return name
    raise SettingsError(
        f"not even codes of {n} vectors fit into the {free >> 20} MiB free on {device}; search on "
        "the processor (device = cpu), or put the index on a Milvus server: "
        "`likeness reindex --index milvus`"
    )


@dataclass(frozen=True, slots=True)
class Effort:
    """nprobe: cells visited; ten, hundred: candidates compared for so many neighbours."""

    nprobe: int
    ten: int
    hundred: int

    def candidates(self, k: int) -> int:
        """For k neighbours, along a straight line through what was measured."""
        slope = max(1.0, (self.hundred - self.ten) / 90)
        return max(self.ten, math.ceil(self.ten + slope * (k - 10)))


class GpuCodes:
    """FAISS's inverted file on a GPU, asked for candidates."""

    def __init__(self, index: Any, faiss: Any, effort: Effort) -> None:
        """index: trained and filled, its ids are rows."""
        self.index, self.effort = index, effort
        self._faiss = faiss
        self._one_at_a_time = threading.Lock()  # FAISS's GPU indexes share their scratch memory

    def suit(self, k: int, selection: Selection) -> bool:
        """Whether enough of what can be proposed would be among the rows selected."""
        thin = selection.count < _THIN * selection.total
        return k > 0 and not thin and self._fetched(k, selection) <= _MOST

    def candidates(
        self, queries: Embeddings, k: int, selection: Selection
    ) -> npt.NDArray[np.int64]:
        """Rows int64 [q, m] of the selection for k neighbours, padded with -1.

        The device knows no filters: more are fetched, and what is hidden goes.
        """
        rows = self.nearest(queries, self._fetched(k, selection), self.effort.nprobe)
        if selection.everything:
            return rows
        selected = (selection.bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1
        return np.where((rows >= 0) & (selected == 1), rows, -1)

    def nearest(self, queries: Embeddings, n: int, nprobe: int) -> npt.NDArray[np.int64]:
        """Rows int64 [q, n] by the codes alone, the most promising first, padded with -1."""
        parameters = self._faiss.SearchParametersIVF(nprobe=min(nprobe, _MOST))
        with self._one_at_a_time:
            _, rows = self.index.search(queries, n, params=parameters)
        return np.asarray(rows, dtype=np.int64)

    def _fetched(self, k: int, selection: Selection) -> int:
        n = self.effort.candidates(k)
        if selection.everything:
            return min(n, max(k, selection.total))
        return math.ceil(1.2 * n * selection.total / max(1, selection.count)) + 16


def codes_on(
    device: str, ids: ImageIds, vectors: StoredVectors, code: str, recall: float, faiss: Any
) -> GpuCodes:
    """Codes of float16 rows [n, d] stand in the device's memory, read block by block, and are
    tuned on stored images.

    Memory here: the training sample and a block, in float32. Raises SettingsError when they find
    too few of the nearest whatever the effort.
    """
    n, dim = vectors.shape
    cells = max(1, min(_MOST_CELLS, 1 << round(math.log2(2 * math.sqrt(n)))))
    options = faiss.GpuClonerOptions()
    options.use_cuvs = code != "SQ8" and "CUVS" in faiss.get_compile_options()
    options.useFloat16 = True  # tables of that many codes are too large in float32
    if not options.use_cuvs:
        options.reserveVecs = n
    resources = faiss.StandardGpuResources()
    empty = faiss.index_factory(dim, f"IVF{cells},{code}", faiss.METRIC_INNER_PRODUCT)
    index = faiss.index_cpu_to_gpu(resources, device_number(device), empty, options)
    sample = min(n, max(_LEAST_TRAINED_ON, _ROWS_PER_CELL * cells))
    rows = np.sort(np.random.default_rng(0).choice(n, sample, replace=False))
    with cores().some(cores().total):  # some of the training is the processor's
        index.train(np.take(vectors, rows, axis=0).astype(np.float32))
        for start in range(0, n, _BLOCK_ROWS):
            pulse.beat()
            index.add(vectors[start : start + _BLOCK_ROWS].astype(np.float32))
    codes = GpuCodes(index, faiss, Effort(1, _DEEP, _DEEP))
    effort = _effort(codes, cells, ids, vectors, recall)
    if effort is None:
        raise SettingsError(
            f"codes {code}, the finest of {n} vectors that fit on {device}, do not find {recall} "
            "of the nearest; free some of its memory, or set index_recall lower"
        )
    log.info("the index on %s has codes %s in %d cells: %s", device, code, cells, effort)
    return GpuCodes(index, faiss, replace(effort, nprobe=min(_FOR_WORDS * effort.nprobe, cells)))


def _effort(
    codes: GpuCodes, cells: int, ids: ImageIds, vectors: StoredVectors, recall: float
) -> Effort | None:
    """The fewest cells, and then candidates, with which stored images find so much of their ten
    and of their hundred nearest; None: not even with the most."""
    rows = np.random.default_rng(1).choice(len(ids), min(_ASKED, len(ids)), replace=False)
    queries = np.take(vectors, np.sort(rows), axis=0).astype(np.float32)
    deepest = min(100, len(ids))
    (truth,) = nearest_under(ids, vectors, queries, deepest, [None])
    for nprobe in (min(cells, 1 << power) for power in range(cells.bit_length())):
        found = codes.nearest(queries, min(_DEEP, len(ids)), nprobe)
        found_ids = np.where(found < 0, -1, ids[found])
        needed = []
        for depth in (min(10, deepest), deepest):
            places = np.full((len(queries), depth), _DEEP)
            for at, real in enumerate(truth.ids[:, :depth]):
                _, which, place = np.intersect1d(real, found_ids[at], return_indices=True)
                places[at, which] = place
            in_order = np.sort(places, axis=None)
            needed.append(int(in_order[min(places.size, math.ceil(recall * places.size)) - 1]) + 1)
        if max(needed) <= _DEEP:
            return Effort(nprobe, max(_FEWEST, needed[0]), max(_FEWEST, needed[1]))
    return None


def device_number(device: str) -> int:
    """`cuda:1` is 1, `cuda` is 0. Raises SettingsError for anything else."""
    name, _, number = device.partition(":")
    if name != "cuda" or not (number or "0").isdecimal():
        raise SettingsError(f"{device!r} is no GPU's name; use cuda, or cuda:1")
    return int(number or 0)
