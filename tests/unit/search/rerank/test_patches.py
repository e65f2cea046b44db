"""Patches are matched, verified and stored; a picture is found in another, wherever it lies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likeness.errors import NoPatchTokens
from search.rerank.interface import Context, shortlist
from search.rerank.matching import (
    WIDTH,
    PatchFeatures,
    Verification,
    apply_affine,
    fit_affine,
    mutual_matches,
    patch_features,
)
from search.rerank.patch_store import PatchStore, StoredPatches, pack, unpack
from search.rerank.patches import PatchVerification, evidence, verify_pair
from tests.fakes.encoder import FakeEncoder

GRID = (10, 12)
VERIFY = Verification()


def features(seed: int, grid: tuple[int, int] = GRID, width: int = 48) -> PatchFeatures:
    random = np.random.default_rng(seed)
    return patch_features(random.standard_normal((grid[0] * grid[1], width)), grid)


def moved(source: PatchFeatures, matrix: list[list[float]], noise: float = 0.3) -> PatchFeatures:
    """The picture after an affine map: patches carried along, fresh ones where nothing lands."""
    random = np.random.default_rng(99)
    tokens = random.standard_normal(source.tokens.shape) / np.sqrt(source.tokens.shape[1])
    there = apply_affine(np.array(matrix, dtype=np.float32), source.places())
    for token, (x, y) in zip(source.tokens, there, strict=True):
        column, row = int(np.floor(x)), int(np.floor(y))
        if 0 <= column < GRID[1] and 0 <= row < GRID[0]:
            tokens[row * GRID[1] + column] = token
    tokens += noise * random.standard_normal(tokens.shape) / np.sqrt(tokens.shape[1])
    return patch_features(tokens, source.grid)


def test_mutual_matches_are_those_of_two_loops() -> None:
    one, two = features(1), features(2)
    cosines = one.tokens @ two.tokens.T
    expected = [
        (i, j)
        for i in range(120)
        for j in range(120)
        if cosines[i].argmax() == j and cosines[:, j].argmax() == i
    ]
    found = mutual_matches(one, two)
    assert list(zip(found.query.tolist(), found.candidate.tolist(), strict=True)) == expected
    assert found.likeness == pytest.approx(np.array([cosines[i, j] for i, j in expected]))


@pytest.mark.parametrize(
    ("matrix", "mirrored"),
    [
        ([[1, 0, 2], [0, 1, -1]], False),
        ([[0.7, 0, 1], [0, 0.7, 1]], False),
        ([[0, -1, 11], [1, 0, 0]], False),
        ([[-1, 0, 12], [0, 1, 0]], True),
        ([[0.9, 0.2, 0], [-0.1, 1.1, 1]], False),
    ],
    ids=["shifted", "smaller", "turned", "mirrored", "sheared"],
)
def test_a_moved_picture_is_found_with_its_map(matrix: list[list[float]], mirrored: bool) -> None:
    source = features(3)
    matches, found = verify_pair(source, moved(source, matrix), Verification())
    assert found is not None
    assert found.mirrored is mirrored
    assert found.inliers.sum() >= 20
    inside = source.places()[matches.query[found.inliers]]
    expected = apply_affine(np.array(matrix, dtype=np.float32), inside)
    off = np.linalg.norm(apply_affine(found.transform, inside) - expected, axis=1)
    assert off.mean() < 0.8, "patches"


def test_unrelated_pictures_give_little_evidence() -> None:
    for seed in range(10):
        source = features(seed)
        unrelated = evidence(*verify_pair(source, features(seed + 100), VERIFY))
        related = evidence(*verify_pair(source, moved(source, [[1, 0, 3], [0, 1, 3]]), VERIFY))
        assert unrelated < 8 < 25 < related


def test_verification_is_the_same_every_time_and_can_leave_mirrors_out() -> None:
    source = features(4)
    mirror = moved(source, [[-1, 0, 12], [0, 1, 0]])
    first, second = (verify_pair(source, mirror, Verification())[1] for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.transform == second.transform).all()
    without = verify_pair(source, mirror, Verification(mirror=False))[1]
    assert without is None or without.inliers.sum() < first.inliers.sum() / 2


def test_too_few_or_coincident_matches_verify_nothing() -> None:
    verify = Verification()
    none = np.zeros((0, 2), dtype=np.float32)
    assert verify(none, none, np.zeros(0, dtype=np.float32)) is None
    same = np.ones((20, 2), dtype=np.float32)
    assert verify(same, same, np.ones(20, dtype=np.float32)) is None


def test_an_affine_fit_is_exact_on_exact_points_and_none_on_a_line() -> None:
    random = np.random.default_rng(0)
    matrix = random.standard_normal((2, 3)).astype(np.float32)
    points = (10 * random.random((9, 2))).astype(np.float32)
    assert fit_affine(points, apply_affine(matrix, points)) == pytest.approx(matrix, abs=1e-4)
    line = np.outer(np.arange(9), [1, 2]).astype(np.float32)
    assert fit_affine(line, line) is None


def test_long_tokens_are_projected_and_keep_their_nearest() -> None:
    random = np.random.default_rng(5)
    tokens = random.standard_normal((120, 768))
    noisy = tokens + 0.5 * random.standard_normal(tokens.shape)
    one, two = patch_features(tokens, GRID), patch_features(noisy, GRID)
    assert one.tokens.shape == (120, WIDTH)
    assert (np.argmax(one.tokens @ two.tokens.T, axis=1) == np.arange(120)).mean() > 0.98


class Shelf:
    """A patch source of ready-made features."""

    def __init__(self, shelf: dict[int, PatchFeatures | None]) -> None:
        self.shelf = shelf

    def features(self, image_ids: np.ndarray) -> list[PatchFeatures | None]:
        return [self.shelf[int(image_id)] for image_id in image_ids]


def test_the_candidate_that_holds_the_picture_goes_to_the_top() -> None:
    source = features(6)
    shelf = {number: features(number + 50) for number in range(1, 8)}
    shelf[4] = moved(source, [[0.8, 0, 1], [0, 0.8, 1]])
    shelf[6] = None  # unreadable
    random = np.random.default_rng(0)
    given = shortlist(random.standard_normal(8), np.arange(1, 8), random.standard_normal((7, 8)))
    context = Context(query_patches=source, patches=Shelf(shelf))
    result = PatchVerification()(given, context)
    assert result.ids[0] == 4
    assert sorted(result.ids.tolist()) == list(range(1, 8))
    before = dict(zip(given.ids.tolist(), given.scores.tolist(), strict=True))
    after = dict(zip(result.ids.tolist(), result.scores.tolist(), strict=True))
    assert after[6] == pytest.approx(before[6])


def test_stored_features_come_back_nearly_the_same_in_a_byte_per_number() -> None:
    source = features(7)
    data = pack(source)
    assert len(data) < source.tokens.size + 32
    back = unpack(data)
    assert back is not None
    assert back.grid == source.grid
    assert (back.tokens * source.tokens).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("spoil", ["cut", "bit", "magic", "empty"])
def test_damaged_files_are_as_good_as_none(spoil: str) -> None:
    data = bytearray(pack(features(8)))
    if spoil == "cut":
        data = data[:-1]
    elif spoil == "bit":
        data[100] ^= 1
    elif spoil == "magic":
        data[0] ^= 1
    else:
        data = bytearray()
    assert unpack(bytes(data)) is None


class PatchyEncoder(FakeEncoder):
    """Patch tokens from an image's pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, patch_grid=(8, 8))
        self.asked: list[int] = []

    def patch_tokens(self, images):
        self.asked.append(len(images))
        batch = self.preprocess.batch(images).reshape(len(images), 8, 4, 8, 4, 3)
        return batch.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), 64, 48).astype(np.float32)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)


def test_features_are_computed_once_in_batches_and_then_read(tmp_path: Path) -> None:
    encoder = PatchyEncoder()
    source = StoredPatches(
        PatchStore(tmp_path), encoder, lambda number: None if number == 3 else picture(number)
    )
    ids = np.arange(1, 20)
    first = source.features(ids)
    assert [each is None for each in first] == [number == 3 for number in ids]
    assert encoder.asked == [8 - 1, 8, 3], "batches of 8, one image of them unreadable"
    again = source.features(ids[::-1])
    assert encoder.asked == [7, 8, 3], "only the unreadable one was tried again"
    for one, two in zip(first, reversed(again), strict=True):
        if one is not None and two is not None:
            assert (one.tokens * two.tokens).sum(axis=1).min() > 0.999


def test_the_store_forgets_the_oldest_when_it_is_full(tmp_path: Path) -> None:
    store = PatchStore(tmp_path, max_bytes=40_000)
    for number in range(20):
        store.put(number, features(number))  # 5.8 kB each
        path = tmp_path / "0" / f"{number}.patch"
        os.utime(path, ns=(number, number))
    store.trim()
    kept = [number for number in range(20) if store.get(number) is not None]
    assert kept == list(range(20 - len(kept), 20))
    assert 1 <= len(kept) <= 6


def test_a_store_that_cannot_be_written_does_not_break_the_search(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    source = StoredPatches(PatchStore(blocked), PatchyEncoder(), picture)
    assert source.features(np.array([1]))[0] is not None


def test_an_encoder_without_patches_is_refused(tmp_path: Path) -> None:
    source = StoredPatches(PatchStore(tmp_path), FakeEncoder(), picture)
    with pytest.raises(NoPatchTokens):
        source.features(np.array([1]))
