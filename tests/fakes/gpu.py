"""FAISS with a GPU, as far as `likeness.vectors.gpu_codes` speaks to one; the work is done here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from likeness.vectors.engine import load_faiss


class GpuFaiss:
    """The real library, whose copies onto a device are the indexes themselves.

    Like the real GPU indexes, these ignore selectors and refuse more than 2,048 neighbours.
    """

    def __init__(self, *, gpus: int = 1, options: str = "OPTIMIZE AVX2 GPU") -> None:
        self._faiss = load_faiss()
        self._gpus, self._compiled = gpus, options
        self.cloned: list[tuple[int, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._faiss, name)

    def get_compile_options(self) -> str:
        return self._compiled

    def get_num_gpus(self) -> int:
        return self._gpus

    def StandardGpuResources(self) -> object:  # noqa: N802 (FAISS's name)
        return object()

    def GpuClonerOptions(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(use_cuvs=False, useFloat16=False, reserveVecs=0)

    def index_cpu_to_gpu(self, resources: object, device: int, index: Any, options: Any) -> Any:
        assert resources is not None
        self.cloned.append((device, options))
        return _Copied(index)


class _Copied:
    def __init__(self, index: Any) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, queries: np.ndarray, k: int, *, params: Any) -> Any:
        assert k <= 2048
        assert params.nprobe <= 2048
        return self._index.search(queries, k, params=params)
