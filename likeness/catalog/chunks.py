"""Chunks: one checksummed BLOB of many float16 vectors.

Layout, little-endian: magic `LKC1` (4 bytes), dim uint32, n uint32, SHA-256 over dim, n and
payload (32 bytes), then the payload: float16 [n, dim], row-major. The checksum is verified at
every read, so that a damaged chunk is an error and never a wrong vector.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import numpy as np

from likeness.errors import CatalogError, VectorError
from likeness.types import StoredVectors

MAX_CHUNK_VECTORS = 4096
"""A batch with more vectors is stored as several chunks, so that reading one stays cheap."""

NORM_TOLERANCE = 1e-2

_MAGIC = b"LKC1"
_SHAPE = struct.Struct("<II")
_HEADER_BYTES = len(_MAGIC) + _SHAPE.size + 32


class ChunkUnreadableError(CatalogError):
    """A chunk that must not be read. The catalog adds which chunk and whose images."""


def check_vectors(vectors: StoredVectors, dim: int, *, space: str) -> StoredVectors:
    """Return vectors as contiguous little-endian float16 [n, dim], if they may be stored.

    Raises VectorError for another shape, NaN or infinity, or a norm outside 1 ± 1e-2.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != dim:
        raise VectorError(f"vectors of shape {array.shape} do not fit {space}, which has d={dim}")
    if array.dtype.kind != "f":
        raise VectorError(f"vectors of type {array.dtype} for {space}: float16 or float32 expected")
    with np.errstate(over="ignore"):  # a float32 beyond float16's range becomes inf: caught below
        half = np.ascontiguousarray(array, dtype="<f2")
    wide = half.astype(np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    bad = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))  # NaN fails the comparison too
    if bad.size:
        row = int(bad[0])
        raise VectorError(
            f"vector {row} for {space} has norm {norms[row]:.4g}, expected 1 ± {NORM_TOLERANCE} "
            f"({bad.size} of {len(norms)} vectors are unusable); normalise embeddings first"
        )
    return half


def encode_chunk(vectors: StoredVectors) -> tuple[bytes, bytes]:
    """Return (blob, checksum) of float16 [n, d]. checksum: 32 bytes, also inside the blob."""
    n, dim = vectors.shape
    shape, payload = _SHAPE.pack(dim, n), np.ascontiguousarray(vectors, dtype="<f2").tobytes()
    checksum = hashlib.sha256(shape + payload).digest()
    return b"".join((_MAGIC, shape, checksum, payload)), checksum


def decode_chunk(blob: bytes, *, dim: int) -> StoredVectors:
    """Return the vectors of a chunk, float16 [n, dim], read-only, sharing the blob's memory.

    Raises ChunkUnreadableError with the reason.
    """
    if len(blob) < _HEADER_BYTES:
        raise ChunkUnreadableError(f"it has {len(blob)} bytes, less than its header")
    if blob[:4] != _MAGIC:
        raise ChunkUnreadableError("it does not start with the chunk mark LKC1")
    stored_dim, n = _SHAPE.unpack_from(blob, 4)
    if len(blob) != _HEADER_BYTES + 2 * stored_dim * n:
        raise ChunkUnreadableError(
            f"it has {len(blob)} bytes, not those of {n} vectors of {stored_dim}"
        )
    digest = hashlib.sha256(blob[4:12])
    digest.update(memoryview(blob)[_HEADER_BYTES:])
    if digest.digest() != blob[12:_HEADER_BYTES]:
        raise ChunkUnreadableError("its checksum does not match")
    if stored_dim != dim:
        raise ChunkUnreadableError(f"it holds vectors of {stored_dim} numbers, its space has {dim}")
    return np.frombuffer(blob, dtype="<f2", offset=_HEADER_BYTES).reshape(n, dim)


def split(n: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the chunks that n vectors are stored in."""
    for start in range(0, n, MAX_CHUNK_VECTORS):
        yield start, min(start + MAX_CHUNK_VECTORS, n)
