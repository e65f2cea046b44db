"""Places in a picture that are found again in a copy: SIFT (Lowe, 2004) as RootSIFT (Arandjelović &
Zisserman, 2012), and which of two pictures' places belong together.

SIFT and not ORB: turned over, a SIFT descriptor is a rearrangement of its own numbers, and it finds
more (decision 0006).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Points: TypeAlias = npt.NDArray[np.float32]
"""float32 [m, 2]: x, y in pixels."""

MOST_KEYPOINTS = 260
FEWEST = 6
"""Fewer places than this prove nothing."""
RATIO = 0.86
"""A place belongs to the nearest one if that is so much nearer than the second (Lowe, 2004)."""

# A SIFT descriptor is 4 rows × 4 columns × 8 directions about the keypoint's own direction:
# turning the picture over reverses the rows and the sense of the directions.
_MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, (-np.arange(8)) % 8].ravel()


def detect(grey: npt.NDArray[Any]) -> tuple[Points, npt.NDArray[np.float32]]:
    """Places in a picture, uint8 [h, w], and their descriptors, float32 [m, 128], L2 norm 1."""
    # OpenCV's stubs do not name what its modules add at import.
    detector = vars(cv2)["SIFT_create"](nfeatures=MOST_KEYPOINTS, contrastThreshold=0.02)
    found, raw = detector.detectAndCompute(grey, None)
    if raw is None or not len(found):
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    points = np.array([point.pt for point in found], dtype=np.float32)
    norm = np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    return points, np.sqrt(raw / norm).astype(np.float32)


def matched(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], *, mirrored: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of first, and the rows of second that they belong to: nearest both ways, by far.

    first, second: descriptors. mirrored: as if the second picture were turned over.
    """
    theirs = second[:, _MIRROR] if mirrored else second
    cosine = first @ theirs.T
    nearest = cosine.argmax(axis=1)
    rows = np.arange(len(cosine))
    best = cosine[rows, nearest]
    back = cosine.argmax(axis=0)
    cosine[rows, nearest] = -1.0
    second_best = cosine.max(axis=1)
    distance = np.sqrt(np.maximum(0.0, 2 - 2 * best))
    good = (distance < RATIO * np.sqrt(np.maximum(0.0, 2 - 2 * second_best))) & (
        back[nearest] == rows
    )
    return np.flatnonzero(good), nearest[good]
