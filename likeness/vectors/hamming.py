"""Nearest 256-bit hashes, their mirror images and quarter turns included."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.vectors.engine import load_faiss

Hashes = npt.NDArray[np.uint8]
"""uint8 [n, 32]: bit (row r, column c) of the 16 × 16 signs of a picture's cosine transform."""

_EXHAUSTIVE_ROWS = 150_000
_QUERY_ROWS = 16_384


def dihedral_variants(hashes: Hashes) -> npt.NDArray[np.uint8]:
    """What the hashes of the eight turned and mirrored pictures would be: uint8 [8, n, 32].

    A picture turned over negates its transform's odd rows or columns, a quarter turn also swaps
    rows and columns; with the median near zero, a negated coefficient flips its bit. Measured on
    100 photos against PDQ of the turned pixels: 0 to 7.0 bits of 256 differ on average.
    Order: upright, transposed, then each with columns, rows, and both negated.
    """
    n = len(hashes)
    bits = np.unpackbits(np.ascontiguousarray(hashes), axis=1).reshape(n, 16, 16)
    odd = (np.arange(16) % 2).astype(np.uint8)
    variants = []
    for turned in (bits, bits.transpose(0, 2, 1)):
        for rows, columns in ((0, 0), (0, 1), (1, 0), (1, 1)):
            signs = (odd[:, None] * rows) ^ (odd[None, :] * columns)
            variants.append(np.packbits((turned ^ signs).reshape(n, 256), axis=1))
    return np.stack(variants)


def nearest_hashes(
    queries: Hashes, base: Hashes, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The k rows of base with the fewest differing bits over all eight variants of each query.

    Returns rows int64 [q, k], padded with -1, and distances int32 [q, k], 257 where padded.
    Exhaustive up to 150,000 rows; above, FAISS's inverted file over a fifth of the cells.
    """
    k = min(k, len(base)) if len(base) else 0
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    distances = np.full((len(queries), k), 257, dtype=np.int32)
    if not k:
        return rows, distances
    index = _index_of(base)
    for start in range(0, len(queries), _QUERY_ROWS):
        block = slice(start, start + _QUERY_ROWS)
        for variant in dihedral_variants(queries[block]):
            found_distances, found = index.search(np.ascontiguousarray(variant), k)
            rows[block], distances[block] = _merged(
                rows[block], distances[block], found, found_distances
            )
    return rows, distances


def _merged(
    rows: npt.NDArray[np.int64],
    distances: npt.NDArray[np.int32],
    found: npt.NDArray[np.int64],
    found_distances: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    k = rows.shape[1]
    both = np.concatenate([rows, found], axis=1)
    far = np.concatenate([distances, found_distances], axis=1)
    far = np.where(both < 0, 257, far).astype(np.int32)
    # By row, then distance: a row found through two variants counts with its nearer one.
    order = np.lexsort((far, both), axis=1)
    both, far = np.take_along_axis(both, order, 1), np.take_along_axis(far, order, 1)
    again = np.zeros(both.shape, dtype=bool)
    again[:, 1:] = both[:, 1:] == both[:, :-1]
    far[again], both[again] = 257, -1
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(both, order, 1), np.take_along_axis(far, order, 1)


def _index_of(base: Hashes) -> Any:
    faiss = load_faiss()
    if len(base) <= _EXHAUSTIVE_ROWS:
        index = faiss.IndexBinaryFlat(256)
    else:
        cells = round(len(base) ** 0.5)
        quantizer = faiss.IndexBinaryFlat(256)
        index = faiss.IndexBinaryIVF(quantizer, 256, cells)
        index.own_fields, index.nprobe = False, max(1, cells // 5)
        index.quantizer_kept = quantizer
        random = np.random.default_rng(0)
        index.train(np.ascontiguousarray(base[random.choice(len(base), 64 * cells)]))
    index.add(np.ascontiguousarray(base))
    return index
