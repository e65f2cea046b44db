"""Patch tokens of two images: which patches belong together, and how one lies in the other.

Patches are matched when each is the other's nearest (mutual nearest neighbours), and the matches
are verified by one transform that most of them obey, found with RANSAC (Fischler and Bolles, 1981)
and refined by least squares, as is usual for local features (Philbin et al., "Object retrieval
with large vocabularies and fast spatial matching", CVPR 2007). The transform is a similarity,
mirrored or not, refined to an affine map.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float32]

WIDTH = 64
"""Numbers kept per patch."""

_LARGEST_ZOOM = 5.0
_SHORTEST_BASE = 2.0  # patches between the two matches that make a hypothesis


@dataclass(frozen=True, slots=True)
class PatchFeatures:
    """Patch tokens of one image as an encoder saw it.

    tokens: float32 [p, w], L2 norm 1 per row, row-major over the grid. grid: (h, w), p = h * w.
    """

    tokens: npt.NDArray[np.float32]
    grid: tuple[int, int]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or len(self.tokens) != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"tokens of shape {list(self.tokens.shape)} do not fill a grid of {self.grid}"
            )

    def places(self) -> Points:
        """Centres of the patches: float32 [p, 2], (x, y) in patches from the top left corner."""
        rows, columns = np.divmod(np.arange(len(self.tokens)), self.grid[1])
        return np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)


def patch_features(tokens: npt.NDArray[np.floating], grid: tuple[int, int]) -> PatchFeatures:
    """Features of an encoder's patch tokens float [p, w]: centred, projected, unit length.

    What all patches of an image share says what the whole image is about, which the image's own
    vector knows already; what is left tells its places apart. A fixed random projection to WIDTH
    numbers keeps the angles between them (Johnson and Lindenstrauss, 1984) well enough: measured
    on occluded photos, 32 numbers rank as well as all 192.
    """
    rows = np.asarray(tokens, dtype=np.float32)
    rows = (rows - rows.mean(axis=0)).astype(np.float32)
    if rows.shape[1] > WIDTH:
        rows = rows @ _projection(rows.shape[1])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return PatchFeatures(rows / np.maximum(norms, np.float32(1e-6)), grid)


@functools.cache
def _projection(width: int) -> npt.NDArray[np.float32]:
    """float32 [width, WIDTH], orthonormal columns; the same in every process."""
    gaussian = np.random.default_rng(width).standard_normal((width, WIDTH))
    return np.linalg.qr(gaussian)[0].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Matches:
    """Mutual nearest patches. query, candidate: int64 [m], patch numbers. likeness: float32 [m],
    cosines."""

    query: npt.NDArray[np.int64]
    candidate: npt.NDArray[np.int64]
    likeness: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.query)


def mutual_matches(query: PatchFeatures, candidate: PatchFeatures) -> Matches:
    """Pairs of patches that are each other's nearest, in the order of the query's patches."""
    cosines = query.tokens @ candidate.tokens.T
    forth = cosines.argmax(axis=1)
    back = cosines.argmax(axis=0)
    numbers = np.arange(len(forth))
    mutual = back[forth] == numbers
    rows, columns = numbers[mutual], forth[mutual]
    return Matches(rows, columns, cosines[rows, columns])


@dataclass(frozen=True, slots=True)
class Verified:
    """One picture found in the other.

    transform: float32 [2, 3], (x, y, 1) of the query in patches → (x, y) of the candidate.
    inliers: bool [m] over the matches. mirrored: whether it turns left into right.
    """

    transform: Affine
    inliers: npt.NDArray[np.bool_]
    mirrored: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """How matches are verified. tolerance: patches that a match may be off. hypotheses: pairs of
    matches tried. least: inliers below which nothing is found. mirror: try mirrored maps too."""

    tolerance: float = 1.5
    hypotheses: int = 200
    least: int = 6
    mirror: bool = True

    def __call__(
        self, query: Points, candidate: Points, likeness: npt.NDArray[np.float32]
    ) -> Verified | None:
        """The map that most matches obey, or None when fewer than `least` agree.

        query, candidate: float32 [m, 2], places of m matches. likeness: float32 [m] weights.
        The same input gives the same answer.
        """
        if len(query) < max(self.least, 2):
            return None
        best = self._best_similarity(query, candidate, np.clip(likeness, 0, None))
        if best is None:
            return None
        transform, inliers, mirrored = best
        for _ in range(2):
            if inliers.sum() < self.least:
                return None
            refined = fit_affine(query[inliers], candidate[inliers])
            if refined is None or not _plausible(refined, mirrored=mirrored):
                break
            agreed = _errors(refined, query, candidate) <= self.tolerance
            if agreed.sum() < inliers.sum():
                break
            transform, inliers = refined, agreed
        if inliers.sum() < self.least:
            return None
        return Verified(transform, inliers, mirrored)

    def _best_similarity(
        self, query: Points, candidate: Points, weights: npt.NDArray[np.float32]
    ) -> tuple[Affine, npt.NDArray[np.bool_], bool] | None:
        """The similarity of two matches that gathers the most weight, with its inliers.

        Points are complex numbers: z → a z + b is a similarity, z → a conj(z) + b a mirrored one.
        """
        first, second = _pairs(len(query), self.hypotheses)
        source = query[:, 0] + 1j * query[:, 1]
        target = candidate[:, 0] + 1j * candidate[:, 1]
        best_weight, best = 0.0, None
        for mirrored in (False, True) if self.mirror else (False,):
            z = source.conj() if mirrored else source
            base = z[second] - z[first]
            useful = np.abs(base) >= _SHORTEST_BASE
            a = (target[second] - target[first])[useful] / base[useful]
            zoom = np.abs(a)
            sound = (zoom <= _LARGEST_ZOOM) & (zoom >= 1 / _LARGEST_ZOOM)
            a = a[sound]
            if len(a) == 0:
                continue
            b = target[first[useful][sound]] - a * z[first[useful][sound]]
            off = a[:, np.newaxis] * z + b[:, np.newaxis] - target
            agree = off.real**2 + off.imag**2 <= self.tolerance**2
            gathered = agree @ weights
            top = int(np.argmax(gathered))
            # A mirror image has to be better, not merely as good.
            if gathered[top] > best_weight:
                best_weight = float(gathered[top])
                best = (_as_affine(a[top], b[top], mirrored=mirrored), agree[top], mirrored)
        return best


def fit_affine(query: Points, candidate: Points) -> Affine | None:
    """The affine map float32 [2, 3] of least squares, or None when the points lie on a line."""
    rows = np.column_stack([query, np.ones(len(query), dtype=np.float32)]).astype(np.float64)
    if np.linalg.matrix_rank(rows, tol=1e-3 * len(rows)) < 3:
        return None
    solution, *_ = np.linalg.lstsq(rows, candidate.astype(np.float64), rcond=None)
    transform: Affine = solution.T.astype(np.float32)
    return transform


def apply_affine(transform: Affine, points: Points) -> Points:
    """float32 [m, 2] → float32 [m, 2]."""
    return (points @ transform[:, :2].T + transform[:, 2]).astype(np.float32)


def _errors(transform: Affine, query: Points, candidate: Points) -> npt.NDArray[np.float32]:
    errors: npt.NDArray[np.float32] = np.linalg.norm(
        apply_affine(transform, query) - candidate, axis=1
    )
    return errors


def _plausible(transform: Affine, *, mirrored: bool) -> bool:
    """Whether an affine map neither collapses the picture nor flips what should not be flipped."""
    matrix = transform[:, :2]
    stretched = np.linalg.svd(matrix, compute_uv=False)
    turned = float(np.linalg.det(matrix)) < 0
    return bool(
        turned == mirrored
        and stretched[0] <= 1.5 * _LARGEST_ZOOM
        and stretched[1] >= stretched[0] / 3
    )


def _as_affine(a: complex, b: complex, *, mirrored: bool) -> Affine:
    sign = -1 if mirrored else 1
    return np.array(
        [[a.real, -sign * a.imag, b.real], [a.imag, sign * a.real, b.imag]], dtype=np.float32
    )


def _pairs(m: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs of m matches, or `count` random ones when there are more; the same every time."""
    first, second = np.triu_indices(m, k=1)
    if len(first) <= count:
        return first, second
    chosen = np.random.default_rng(m).choice(len(first), size=count, replace=False)
    return first[chosen], second[chosen]
