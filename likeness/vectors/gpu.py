"""An index on a GPU: exact where the vectors fit into its memory, FAISS's GPU codes above that.

What is on the device is a cache of the snapshot, made when the snapshot is opened and never the
master: the vector file decides every score, and filters that leave few images, which FAISS's GPU
indexes cannot take (its issue 3114), are left to the processor's index over the same files.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from likeness.errors import LikenessError, SettingsError
from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.cores import in_background
from likeness.vectors.engine import load_faiss
from likeness.vectors.exact import ExactIndex
from likeness.vectors.gpu_codes import GpuCodes, code_for, codes_on, device_number
from likeness.vectors.idset import IdSet
from likeness.vectors.index import Neighbours, VectorIndex
from likeness.vectors.recall import TARGET
from likeness.vectors.scoring import best_first, exact_scores
from likeness.vectors.torch_scan import TorchScan
from likeness.vectors.validate import check_queries

log = logging.getLogger(__name__)

SPARE_BYTES = 3 << 30
"""Of the device's memory that stay free: FAISS works in half of it, scores take some more."""


def on_gpu(
    plain: VectorIndex,
    vectors: StoredVectors,
    device: str,
    *,
    recall: float = TARGET,
    least_rows: int = 65_536,
    free_bytes: int | None = None,
    faiss: Any = None,
) -> VectorIndex:
    """The same images, searched on the device.

    plain: the processor's index over vectors, float16 [n, d]. device: `cuda`, or `cuda:1`.
    recall: asked of codes. least_rows: fewer than this are not coded; the processor scans them in
    a few milliseconds. free_bytes, faiss: the device's memory and the library, where they are
    not to be asked and imported.
    Raises SettingsError where there is no such device, where not even codes of the vectors fit on
    it, or where they would be needed and FAISS is a build without GPUs.
    """
    free = (_free_bytes(device) if free_bytes is None else free_bytes) - SPARE_BYTES
    if vectors.nbytes <= free:
        return ExactIndex(plain.ids, vectors, scan=TorchScan(vectors, device=device))
    if len(vectors) < least_rows:
        return plain
    faiss = _gpu_build(device) if faiss is None else faiss
    code = code_for(vectors, free, device)

    def make() -> GpuCodes:
        return codes_on(device, plain.ids, vectors, code, recall, faiss)

    return GpuIndex(plain, vectors, make)


class GpuIndex:
    """The processor's index, and beside it codes on the GPU as soon as they are made.

    Immutable to its users and thread-safe. Whichever answers, scores are exact, nothing that was
    not allowed is found, and k come back when k are allowed.
    """

    def __init__(
        self, plain: VectorIndex, vectors: StoredVectors, make: Callable[[], GpuCodes]
    ) -> None:
        """make: copies onto the GPU; takes minutes at 100 million, so a thread of its own does."""
        self._plain, self._vectors, self._make = plain, vectors, make
        self._exact = ExactIndex(plain.ids, vectors)
        self._codes: GpuCodes | None = None
        self._maker = threading.Thread(target=self._fill, name="likeness-gpu-copy", daemon=True)
        self._maker.start()

    def wait(self) -> bool:
        """Until the codes stand, or could not be made; whether they stand."""
        self._maker.join()
        return self._codes is not None

    @property
    def dim(self) -> int:
        return self._plain.dim

    @property
    def ids(self) -> ImageIds:
        """int64 [n], ascending."""
        return self._plain.ids

    def __len__(self) -> int:
        return len(self._plain)

    def matched(self, *, allowed: IdSet | None = None, removed: IdSet | None = None) -> int:
        return self._plain.matched(allowed=allowed, removed=removed)

    def vectors(self, image_ids: ImageIds) -> tuple[ImageIds, StoredVectors]:
        return self._plain.vectors(image_ids)

    def search(
        self,
        queries: Embeddings,
        k: int,
        *,
        allowed: IdSet | None = None,
        removed: IdSet | None = None,
    ) -> Neighbours:
        asked = check_queries(queries, self.dim)
        selection = self._exact.select(allowed, removed)
        codes = self._codes
        if codes is None or not len(asked) or not codes.suit(k, selection):
            return self._plain.search(asked, k, allowed=allowed, removed=removed)
        answer = Neighbours.nobody(len(asked), k)
        for at, rows in enumerate(codes.candidates(asked, k, selection)):
            near = rows[rows >= 0]
            if len(near) < min(k, selection.count):  # its cells hold too few that are allowed
                alone = self._plain.search(asked[at, None], k, allowed=allowed, removed=removed)
                answer.ids[at], answer.scores[at] = alone.ids[0], alone.scores[0]
                continue
            scores = exact_scores(asked[at], np.take(self._vectors, near, axis=0))
            best = best_first(scores, self.ids[near], k)
            answer.ids[at, : len(best)] = self.ids[near][best]
            answer.scores[at, : len(best)] = scores[best]
        return answer

    def _fill(self) -> None:
        try:
            with in_background():
                self._codes = self._make()
        except (LikenessError, RuntimeError, MemoryError):  # FAISS's own are RuntimeErrors
            log.exception("the index was not copied to the GPU; the processor goes on searching")


def _free_bytes(device: str) -> int:
    import torch  # slow to import, and not every reader has a GPU

    number = device_number(device)
    if number >= torch.cuda.device_count():
        raise SettingsError(
            f"there is no {device} here ({torch.cuda.device_count()} GPUs that torch can use); "
            "set LIKENESS_DEVICE to one that is, to cpu, or to auto"
        )
    return int(torch.cuda.mem_get_info(number)[0])


def _gpu_build(device: str) -> Any:
    """FAISS with GPUs. Raises SettingsError when this build has none, or sees none."""
    faiss = load_faiss()
    if not hasattr(faiss, "StandardGpuResources"):
        raise SettingsError(
            f"the vectors do not fit on {device} as they are, and this build of FAISS has no codes "
            "for GPUs; install the one that has in its place: `pip uninstall faiss-cpu`, "
            "`pip install 'likeness[gpu]'`; or search on the processor (device = cpu)"
        )
    if device_number(device) >= faiss.get_num_gpus():
        raise SettingsError(f"FAISS does not see {device}; set LIKENESS_DEVICE to another, or cpu")
    return faiss
