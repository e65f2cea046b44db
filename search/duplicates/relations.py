"""How two images can be related, from certain to loose, and what shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from search.duplicates.geometry import Evidence


class Relation(StrEnum):
    """In order of certainty. RELATED is never shown as a duplicate."""

    SAME_BYTES = "same-bytes"
    SAME_PIXELS = "same-pixels"
    EDITED_COPY = "edited-copy"
    SAME_SCENE = "same-scene"
    RELATED = "related"

    @property
    def rank(self) -> int:
        """0 for the most certain."""
        return list(Relation).index(self)

    def at_least(self, other: Relation) -> bool:
        """Whether this is as certain as the other, or more."""
        return self.rank <= other.rank


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images, by row, first < second. score: 0..1, within the relation.

    cosine: of their embeddings. bits: how many of PDQ's 256 differ in the nearest of the eight
    positions; None when either has no hash. evidence: None where bytes are the same, or where the
    pictures could not be read and only hash and embedding speak.
    """

    first: int
    second: int
    relation: Relation
    score: float
    cosine: float
    bits: int | None
    evidence: Evidence | None

    def proof_from(self, row: int) -> Evidence | None:
        """The evidence with the image of this row as the first picture."""
        if self.evidence is None or row == self.first:
            return self.evidence
        return self.evidence.reversed()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where each relation begins.

    copy_score: of `Evidence.score`, for an edited copy. scene_inliers: keypoints on one transform,
    for the same scene. sure_bits: PDQ bits up to which an image that cannot be read is an edited
    copy all the same. near_cosine: neighbours down to here are compared, however far down the
    list; far_cosine: the first few down to here.
    """

    copy_score: float = 0.66
    scene_inliers: int = 25
    sure_bits: int = 24
    near_cosine: float = 0.7
    far_cosine: float = 0.3
