"""What is refused at the door: FAISS takes NaN, zeros and wrong shapes and spoils the neighbours.

A NaN row wins or loses every comparison depending on where it stands in the heap, a long row
outscores everything, so each is an error that names the first offender.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from likeness.errors import VectorError
from likeness.types import Embeddings, ImageIds, StoredVectors

NORM_TOLERANCE = 1e-2
"""How far from 1 a stored norm may be. Rounding to float16 moves it by less than 1e-3."""

_BLOCK_ROWS = 8192


def check_vectors(vectors: npt.ArrayLike, dim: int, ids: ImageIds | None = None) -> StoredVectors:
    """Rows that may be stored: float16 [n, dim], C-contiguous, finite, of unit length.

    vectors: float16 or float32 [n, dim]. ids: int64 [n], to name an offender by.
    Raises VectorError for a wrong shape or dtype, NaN or infinity, or a norm outside 1 ± 1e-2.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != dim:
        raise VectorError(f"vectors of shape {list(array.shape)} where [n, {dim}] is needed")
    if array.dtype not in (np.float16, np.float32):
        raise VectorError(f"vectors of dtype {array.dtype} where float16 or float32 is needed")
    stored = np.ascontiguousarray(array, dtype=np.float16)
    for start in range(0, len(stored), _BLOCK_ROWS):
        block = stored[start : start + _BLOCK_ROWS].astype(np.float32)
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        good = np.abs(norms - 1.0) <= NORM_TOLERANCE  # False for NaN too
        if not good.all():
            row = int(np.argmin(good))
            at = start + row
            name = f"row {at}" if ids is None else f"row {at} (image {int(ids[at])})"
            raise VectorError(
                f"{name} has norm {norms[row]:.4g} where 1 ± {NORM_TOLERANCE} is needed; "
                "a vector that is not of unit length would spoil its neighbours' ranks"
            )
    return stored


def check_queries(queries: npt.ArrayLike, dim: int) -> Embeddings:
    """Queries that may be asked: float32 [q, dim], C-contiguous, finite, none all zero.

    Raises VectorError otherwise. Length is the caller's affair: scores are plain dot products.
    """
    array = np.asarray(queries)
    if array.ndim != 2 or array.shape[1] != dim:
        raise VectorError(f"queries of shape {list(array.shape)} where [q, {dim}] is needed")
    asked = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(asked).all():
        raise VectorError("a query holds NaN or infinity")
    if len(asked) and not asked.any(axis=1).all():
        raise VectorError("a query is all zeros: it has no direction to search in")
    return asked


def check_ids(ids: npt.ArrayLike, rows: int) -> ImageIds:
    """Image ids for rows of vectors: int64 [rows], none negative, none twice.

    Raises VectorError otherwise.
    """
    array = np.asarray(ids)
    if array.shape != (rows,) or (rows and array.dtype.kind not in "iu"):
        raise VectorError(
            f"ids of shape {list(array.shape)} and dtype {array.dtype} for {rows} vectors"
        )
    checked = np.ascontiguousarray(array, dtype=np.int64)
    if rows and int(checked.min()) < 0:
        raise VectorError(f"image id {int(checked.min())} is negative")
    if rows > 1 and not (np.diff(checked) > 0).all() and len(np.unique(checked)) != rows:
        raise VectorError("an image id stands in two rows")
    return checked
