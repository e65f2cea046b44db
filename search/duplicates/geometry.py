"""Proof that one picture was made from another: where it lies in it, and how much of it agrees.

Two steps. First a transform that carries one picture into the other: from keypoints (affine by
RANSAC: Fischler & Bolles, 1981), mirrored too, and for pictures with little texture the eight ways
to lay whole frames on each other. Then the pictures are laid on each other and compared place by
place by the structure term of SSIM (Wang et al., 2004, eq. 10), which ignores brightness and
contrast. Another photo of the same scene passes the first step; only a copy passes the second
nearly everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from likeness.types import RgbImage
from search.duplicates.keypoints import FEWEST, detect, matched

_SIDE = 224
_PLAIN_SIDE = 32
_RANSAC_PX = 4.0
_WINDOW = 9
_FLAT = 16.0
"""Variance below which a place has no structure of its own: about that of JPEG noise."""
_AGREES = 0.5
_SETTLED = 0.9
_MIN_OVERLAP = 0.12
_FULL_OVERLAP = 0.3
_MIN_PLAIN_CORRELATION = 0.55

Affine = npt.NDArray[np.float64]
"""[2, 3]: (x, y, 1) of one picture to (x', y') of the other, each in units of its own frame."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What of a picture is compared. grey: uint8 [h, w], longer side at most 224.

    points: float32 [m, 2] pixels of grey; descriptors: float32 [m, 128], L2 norm 1.
    plain: float32 [32, 32], the whole frame squashed, mean 0 and norm 1 (0 when it is blank).
    """

    grey: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.float32]
    plain: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How two pictures lie on each other.

    score: 0..1, share of the overlap that agrees, less where the overlap is small.
    agreement: that share alone. area: share of the first picture that the second covers;
    other_area: the reverse. transform: float [2, 3], frame of the first (0..1, 0..1) to that of
    the second. mirrored: whether it turns the picture over. inliers: keypoints that agree; 0 when
    whole frames were compared.
    """

    score: float
    agreement: float
    area: float
    other_area: float
    transform: tuple[tuple[float, float, float], tuple[float, float, float]]
    mirrored: bool
    inliers: int

    def reversed(self) -> Evidence:
        """The same proof, told from the second picture."""
        matrix = np.vstack([np.array(self.transform), [0.0, 0.0, 1.0]])
        rows = np.linalg.inv(matrix)[:2].tolist()
        return replace(
            self,
            area=self.other_area,
            other_area=self.area,
            transform=(tuple(rows[0]), tuple(rows[1])),
        )


def sketch(pixels: RgbImage) -> Sketch:
    """The sketch of a picture. pixels: uint8 [h, w, 3], any size."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    longer = max(grey.shape)
    if longer > _SIDE:
        size = tuple(
            max(8, round(side * _SIDE / longer)) for side in (grey.shape[1], grey.shape[0])
        )
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    elif min(grey.shape) < 8:
        grey = cv2.resize(grey, (max(8, grey.shape[1]), max(8, grey.shape[0])))
    points, descriptors = detect(grey)
    return Sketch(np.asarray(grey, np.uint8), points, descriptors, _plain(grey))


def _matched(
    first: Sketch, second: Sketch, mirrored: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return matched(first.descriptors, second.descriptors, mirrored=mirrored)


Match: TypeAlias = Callable[
    [Sketch, Sketch, bool], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
]
"""Rows of the points of both that belong together; True: the second picture turned over."""


def compare(first: Sketch, second: Sketch, *, match: Match = _matched) -> Evidence | None:
    """How second lies on first, by the best transform that is found; None when there is none.

    match: of keypoints; another one is for measuring this one.
    """
    best: Evidence | None = None
    for transform, inliers in _transforms(first, second, match):
        found = _agreement(first, second, transform, inliers)
        if found is not None and (best is None or found.score > best.score):
            best = found
        if best is not None and best.score >= _SETTLED:
            break
    return best


def _plain(grey: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    small = cv2.resize(grey, (_PLAIN_SIDE, _PLAIN_SIDE), interpolation=cv2.INTER_AREA)
    centred = small.astype(np.float32) - float(small.mean())
    norm = float(np.linalg.norm(centred))
    return centred / norm if norm > _PLAIN_SIDE else np.zeros_like(centred)


# Frame (x, y) in 0..1 to frame, for the eight ways to lay a rectangle on another.
_LAYINGS: tuple[tuple[int, bool, Affine], ...] = tuple(
    (turns, mirrored, matrix)
    for mirrored in (False, True)
    for turns, matrix in enumerate(
        np.array(rows, dtype=np.float64)
        for rows in (
            (
                [[1, 0, 0], [0, 1, 0]],
                [[0, 1, 0], [-1, 0, 1]],
                [[-1, 0, 1], [0, -1, 1]],
                [[0, -1, 1], [1, 0, 0]],
            )
            if not mirrored
            else (
                [[-1, 0, 1], [0, 1, 0]],
                [[0, 1, 0], [1, 0, 0]],
                [[1, 0, 0], [0, -1, 1]],
                [[0, -1, 1], [-1, 0, 1]],
            )
        )
    )
)


def _transforms(first: Sketch, second: Sketch, match: Match) -> Iterator[tuple[Affine, int]]:
    """Candidates, frame of first to frame of second, with their inliers; the cheapest first."""
    if first.plain.any() and second.plain.any():
        laid = [float((_laid(second.plain, laying) * first.plain).sum()) for laying in _LAYINGS]
        best = int(np.argmax(laid))
        if laid[best] >= _MIN_PLAIN_CORRELATION:
            yield _LAYINGS[best][2], 0
    for mirrored in (False, True):
        estimated = _by_keypoints(first, second, match, mirrored=mirrored)
        if estimated is not None:
            yield estimated


def _laid(plain: npt.NDArray[np.float32], laying: tuple[int, bool, Affine]) -> Any:
    """The second's square picture as it looks in the first's frame."""
    matrix = laying[2] * np.array([[1, 1, _PLAIN_SIDE - 1]])
    return cv2.warpAffine(
        plain,
        matrix,
        (_PLAIN_SIDE, _PLAIN_SIDE),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )


def _by_keypoints(
    first: Sketch, second: Sketch, match: Match, *, mirrored: bool
) -> tuple[Affine, int] | None:
    if len(first.points) < FEWEST or len(second.points) < FEWEST:
        return None
    rows, others = match(first, second, mirrored)
    if len(rows) < FEWEST:
        return None
    here, there = first.points[rows], second.points[others]
    cv2.setRNGSeed(0)
    matrix, inlying = cv2.estimateAffine2D(
        here,
        there,
        method=cv2.RANSAC,
        ransacReprojThreshold=_RANSAC_PX,
        maxIters=600,
        confidence=0.99,
        refineIters=10,
    )
    if matrix is None or int(inlying.sum()) < FEWEST or not _plausible(matrix, mirrored):
        return None
    return _to_frames(matrix, first.grey.shape, second.grey.shape), int(inlying.sum())


def _plausible(matrix: npt.NDArray[Any], mirrored: bool) -> bool:
    """Whether an edit could do this: turned over as asked, scaled below 8, hardly sheared."""
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    right_way = (np.linalg.det(matrix[:, :2]) < 0) == mirrored
    return bool(right_way and small > 0.125 and large < 8 and large < 2.5 * small)


def _to_frames(
    matrix: npt.NDArray[Any], shape: tuple[int, ...], other_shape: tuple[int, ...]
) -> Affine:
    """From pixels, whose first has its middle at 0, to frames, where that is half a pixel in."""
    return _rescaled(matrix, _frame_to_pixel(shape[1::-1]), _frame_to_pixel(other_shape[1::-1]))


def _frame_to_pixel(size: tuple[int, ...]) -> Affine:
    return np.array([[size[0], 0, -0.5], [0, size[1], -0.5], [0, 0, 1]], dtype=np.float64)


def _inverse(matrix: Affine) -> Affine:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _rescaled(matrix: npt.NDArray[Any], before: Affine, after: Affine) -> Affine:
    """after⁻¹ ∘ matrix ∘ before, as [2, 3]."""
    full = np.vstack([matrix, [0.0, 0.0, 1.0]])
    return np.asarray((np.linalg.inv(after) @ full @ before)[:2])


def _agreement(first: Sketch, second: Sketch, transform: Affine, inliers: int) -> Evidence | None:
    height, width = (max(8, side // 2) for side in first.grey.shape)
    here = cv2.resize(first.grey, (width, height), interpolation=cv2.INTER_AREA)
    # Bring the second to the scale at which it will lie on the first, or the finer one is sharper.
    second_size = _size_on(transform, (width, height), second.grey.shape)
    there = cv2.resize(second.grey, second_size, interpolation=cv2.INTER_AREA)
    matrix = _rescaled(
        transform,
        _inverse(_frame_to_pixel((width, height))),
        _inverse(_frame_to_pixel(second_size)),
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(there, matrix, (width, height), flags=flags)
    covered = cv2.warpAffine(
        np.full(there.shape, 255, np.uint8), matrix, (width, height), flags=flags
    )
    inside = cv2.erode((covered == 255).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    area = float((covered >= 128).mean())
    other_area = min(1.0, area * abs(float(np.linalg.det(transform[:, :2]))))
    overlap = max(area, other_area)
    if overlap < _MIN_OVERLAP or inside.sum() < 64:
        return None
    agrees = _structure(here, laid)[inside] >= _AGREES
    agreement = float(agrees.mean())
    rows = transform.tolist()
    return Evidence(
        score=agreement * min(1.0, overlap / _FULL_OVERLAP),
        agreement=agreement,
        area=area,
        other_area=other_area,
        transform=(tuple(rows[0]), tuple(rows[1])),
        mirrored=bool(np.linalg.det(transform[:, :2]) < 0),
        inliers=inliers,
    )


def _size_on(
    transform: Affine, size: tuple[int, int], other_shape: tuple[int, ...]
) -> tuple[int, int]:
    """Pixels (w, h) of the second such that one of its pixels covers one of the first's."""
    to_first = np.linalg.inv(transform[:, :2])
    wide = float(np.hypot(to_first[0, 0] * size[0], to_first[1, 0] * size[1]))
    high = float(np.hypot(to_first[0, 1] * size[0], to_first[1, 1] * size[1]))
    return (
        int(np.clip(round(wide), 8, other_shape[1])),
        int(np.clip(round(high), 8, other_shape[0])),
    )


def _structure(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Correlation of a 9 × 9 window about each pixel; 1 where neither has structure."""
    a, b = first.astype(np.float32), second.astype(np.float32)

    def mean(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(cv2.boxFilter(values, -1, (_WINDOW, _WINDOW)))

    mean_a, mean_b = mean(a), mean(b)
    var_a = np.maximum(mean(a * a) - mean_a**2, 0)
    var_b = np.maximum(mean(b * b) - mean_b**2, 0)
    covariance = mean(a * b) - mean_a * mean_b
    return np.asarray((covariance + _FLAT) / (np.sqrt(var_a * var_b) + _FLAT), dtype=np.float32)
