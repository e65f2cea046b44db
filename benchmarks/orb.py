"""Copies proven by ORB keypoints (Rublee et al., 2011) instead of SIFT: to measure the choice.

ORB's bits cannot be turned over, so that each picture is described a second time, mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from search.duplicates.geometry import Evidence, Sketch, compare
from search.duplicates.keypoints import FEWEST, MOST_KEYPOINTS, RATIO


@dataclass(frozen=True, slots=True)
class OrbSketch:
    """upright, turned: the same picture and its mirror image, points in the upright one's pixels.

    bits, turned_bits: uint8 [m, 32].
    """

    upright: Sketch
    turned: Sketch
    bits: npt.NDArray[np.uint8]
    turned_bits: npt.NDArray[np.uint8]


def orb_sketch(plain: Sketch) -> OrbSketch:
    """What ORB finds in a picture at the size at which SIFT looks at it."""
    points, bits = _detected(plain.grey)
    turned_points, turned_bits = _detected(np.ascontiguousarray(plain.grey[:, ::-1]))
    turned_points[:, 0] = plain.grey.shape[1] - 1 - turned_points[:, 0]
    return OrbSketch(
        replace(plain, points=points), replace(plain, points=turned_points), bits, turned_bits
    )


def orb_compare(first: OrbSketch, second: OrbSketch) -> Evidence | None:
    """How second lies on first; all but the keypoints as in the product."""
    found = compare(
        first.upright,
        second.upright,
        match=lambda _one, _other, mirrored: (
            _nothing() if mirrored else _matched(first.bits, second.bits)
        ),
    )
    if found is not None and found.score >= 0.9:
        return found
    turned = compare(
        first.upright,
        second.turned,
        match=lambda _one, _other, mirrored: (
            _matched(first.bits, second.turned_bits) if mirrored else _nothing()
        ),
    )
    return max((each for each in (found, turned) if each), key=lambda e: e.score, default=None)


def _detected(grey: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    detector = vars(cv2)["ORB_create"](nfeatures=MOST_KEYPOINTS, fastThreshold=5, edgeThreshold=15)
    found, bits = detector.detectAndCompute(grey, None)
    if bits is None or not len(found):
        return np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8)
    return np.array([point.pt for point in found], dtype=np.float32), np.asarray(bits, np.uint8)


def _matched(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if len(first) < FEWEST or len(second) < FEWEST:
        return _nothing()
    words, others = first.view(np.uint64), second.view(np.uint64)
    unlike = np.zeros((len(first), len(second)), dtype=np.int32)
    for word in range(words.shape[1]):
        unlike += np.bitwise_count(words[:, word, None] ^ others[None, :, word])
    nearest = unlike.argmin(axis=1)
    rows = np.arange(len(unlike))
    best, back = unlike[rows, nearest], unlike.argmin(axis=0)
    unlike[rows, nearest] = 257
    good = (best < RATIO * unlike.min(axis=1)) & (back[nearest] == rows)
    return np.flatnonzero(good), nearest[good]


def _nothing() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.empty(0, np.int64), np.empty(0, np.int64)
