"""Which pairs are worth a look: near in the embedding, or near in the perceptual hash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likeness.catalog.sorting.duplicates import HashColumns
from likeness.vectors.hamming import dihedral_variants, nearest_hashes
from likeness.vectors.knn import Neighbours, Vectors
from search.duplicates.relations import Thresholds

FAR_NEIGHBOURS = 3
NEAR_NEIGHBOURS = 12
HASH_NEIGHBOURS = 4
MOST_BITS = 72
"""Hashes of unrelated photos differ in about 118 bits, of the nearest among 1,000 in about 90."""
_GATHER_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Candidates:
    """m pairs, ordered. first, second: int64 [m]; cosine: float32 [m]; bits: int32 [m], or -1."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    cosine: npt.NDArray[np.float32]
    bits: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)

    def among(self, rows: npt.NDArray[np.int64], n: int) -> Candidates:
        """Those whose two images, of n, are both among the rows."""
        wanted = np.zeros(n, dtype=np.bool_)
        wanted[rows] = True
        keep = wanted[self.first] & wanted[self.second]
        return Candidates(self.first[keep], self.second[keep], self.cosine[keep], self.bits[keep])


def candidate_pairs(
    neighbours: Neighbours, vectors: Vectors, hashes: HashColumns, thresholds: Thresholds
) -> Candidates:
    """The pairs of one collection that may be copies, each once.

    neighbours: rows of vectors. Bounded: at most 16 pairs per image, however crowded a place is.
    """
    asked, found = _near(neighbours, thresholds)
    has_hash = np.flatnonzero(hashes.quality >= 0)
    base = hashes.pdq[has_hash]
    rows, distances = nearest_hashes(base, base, HASH_NEIGHBOURS + 1)
    close = (rows >= 0) & (distances <= MOST_BITS)
    left = np.broadcast_to(np.arange(len(has_hash))[:, None], rows.shape)[close]
    asked = np.concatenate([asked, has_hash[left]])
    found = np.concatenate([found, has_hash[rows[close]]])
    first, second = _unique(asked, found)
    return Candidates(
        first,
        second,
        _cosines(vectors, vectors, first, second),
        _bits(hashes, hashes, first, second),
    )


def cross_candidates(
    neighbours: Neighbours,
    vectors: Vectors,
    hashes: HashColumns,
    others: Vectors,
    other_hashes: HashColumns,
    thresholds: Thresholds,
) -> Candidates:
    """Pairs between two sets: first is a row of vectors, second one of others.

    neighbours: of vectors among others.
    """
    asked, found = _near(neighbours, thresholds)
    has_hash = np.flatnonzero(hashes.quality >= 0)
    theirs = np.flatnonzero(other_hashes.quality >= 0)
    rows, distances = nearest_hashes(
        hashes.pdq[has_hash], other_hashes.pdq[theirs], HASH_NEIGHBOURS
    )
    close = (rows >= 0) & (distances <= MOST_BITS)
    left = np.broadcast_to(np.arange(len(has_hash))[:, None], rows.shape)[close]
    asked = np.concatenate([asked, has_hash[left]])
    found = np.concatenate([found, theirs[rows[close]]])
    keys = np.unique(asked * max(1, len(others)) + found)
    first, second = keys // max(1, len(others)), keys % max(1, len(others))
    return Candidates(
        first,
        second,
        _cosines(vectors, others, first, second),
        _bits(hashes, other_hashes, first, second),
    )


def bits_between(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> int:
    """Differing bits of two hashes in the nearest of the eight positions. uint8 [32] each."""
    _, distances = nearest_hashes(first[None], second[None], 1)
    return int(distances[0, 0])


def _near(
    neighbours: Neighbours, thresholds: Thresholds
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    positions = neighbours.positions[:, :NEAR_NEIGHBOURS]
    scores = neighbours.scores[:, :NEAR_NEIGHBOURS]
    place = np.arange(positions.shape[1])
    least = np.where(place < FAR_NEIGHBOURS, thresholds.far_cosine, thresholds.near_cosine)
    near = (positions >= 0) & (scores >= least)
    rows = np.broadcast_to(np.arange(len(positions))[:, None], positions.shape)
    return rows[near].astype(np.int64), positions[near].astype(np.int64)


def _unique(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    low, high = np.minimum(left, right), np.maximum(left, right)
    span = int(high.max(initial=0)) + 1
    keys = np.unique((low * span + high)[low < high])
    return keys // span, keys % span


def _cosines(
    vectors: Vectors,
    others: Vectors,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    cosine = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), _GATHER_ROWS):
        block = slice(start, start + _GATHER_ROWS)
        left = vectors[first[block]].astype(np.float32)
        right = others[second[block]].astype(np.float32)
        cosine[block] = np.einsum("nd,nd->n", left, right)
    return cosine


def _bits(
    hashes: HashColumns,
    others: HashColumns,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.int32]:
    bits = np.full(len(first), 257, dtype=np.int32)
    for start in range(0, len(first), _GATHER_ROWS):
        block = slice(start, start + _GATHER_ROWS)
        right = others.pdq[second[block]]
        for variant in dihedral_variants(hashes.pdq[first[block]]):
            differing = np.bitwise_count(variant ^ right).sum(axis=1, dtype=np.int32)
            bits[block] = np.minimum(bits[block], differing)
    unknown = (hashes.quality[first] < 0) | (others.quality[second] < 0)
    bits[unknown] = -1
    return bits
