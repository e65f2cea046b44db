"""Turned and mirrored pictures are near in the hash that is derived, not computed."""

from __future__ import annotations

import numpy as np

from likeness.imaging.perceptual import dihedral_hashes, perceptual_hash
from likeness.vectors.hamming import dihedral_variants, nearest_hashes


def texture(seed: int, side: int = 96) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (7, 9, 3))
    return np.kron(coarse, np.ones((side // 7 + 1, side // 7 + 1, 1))).astype(np.uint8)


def differing(left: np.ndarray, right: np.ndarray) -> int:
    return int(np.bitwise_count(left ^ right).sum())


def test_derived_variants_are_near_the_hashes_of_the_turned_pictures() -> None:
    for seed in range(8):
        hashes, _ = dihedral_hashes(texture(seed))
        turned = [np.frombuffer(h, dtype=np.uint8) for h in hashes]
        derived = dihedral_variants(turned[0][None])[:, 0]
        for each in turned:
            assert min(differing(each, variant) for variant in derived) <= 24


def test_the_nearest_are_those_of_brute_force() -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (300, 32), dtype=np.uint8)
    queries = base[:40].copy()
    queries[:, 0] ^= 0b101
    rows, distances = nearest_hashes(queries, base, 5)
    variants = dihedral_variants(queries)
    for query in range(40):
        all_distances = np.array(
            [min(differing(v[query], other) for v in variants) for other in base]
        )
        assert rows[query, 0] == query
        assert distances[query].tolist() == sorted(all_distances.tolist())[:5]


def test_a_mirrored_picture_finds_its_original() -> None:
    pictures = [texture(seed) for seed in range(30)]
    base = np.stack([np.frombuffer(perceptual_hash(p)[0] or b"", np.uint8) for p in pictures])
    mirrored = np.ascontiguousarray(pictures[7][:, ::-1])
    query = np.frombuffer(perceptual_hash(mirrored)[0] or b"", np.uint8)[None]
    rows, distances = nearest_hashes(query, base, 2)
    assert rows[0, 0] == 7
    assert distances[0, 0] <= 24 < distances[0, 1]


def test_no_hashes_have_no_neighbours() -> None:
    rows, distances = nearest_hashes(np.zeros((2, 32), np.uint8), np.zeros((0, 32), np.uint8), 3)
    assert rows.shape == (2, 0)
    assert distances.shape == (2, 0)


def test_fewer_rows_than_asked_for_are_all_there_are() -> None:
    base = np.eye(3, 32, dtype=np.uint8)
    rows, _ = nearest_hashes(base, base, 9)
    assert np.sort(rows, axis=1).tolist() == [[0, 1, 2]] * 3
