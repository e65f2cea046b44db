"""Patch verification: candidates in which the query's patches are found again, in place, go up."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from likeness.errors import QueryError
from search.rerank.interface import Context, Shortlist
from search.rerank.matching import (
    Matches,
    PatchFeatures,
    Verification,
    Verified,
    mutual_matches,
)


@dataclass(frozen=True, slots=True)
class PatchVerification:
    """weight: how much a fully verified candidate gains, in units of cosine.
    saturation: gathered likeness of inliers at which half of the gain is reached."""

    weight: float = 1.0
    saturation: float = 10.0
    verification: Verification = field(default_factory=Verification)

    def __call__(self, candidates: Shortlist, context: Context, /) -> Shortlist:
        """Score by the score so far, as a cosine, + weight * e / (e + saturation), e the gathered
        cosines of the matches that obey one transform. Unreadable candidates gain nothing.

        Raises QueryError when the query is not an image or candidates' pixels are out of reach.
        """
        if context.query_patches is None or context.patches is None:
            raise QueryError(
                "the re-ranker patches compares pixels: it needs an image as the query and an "
                "encoder with patch tokens; leave it out, or ask with an image"
            )
        query = context.query_patches
        gains = np.zeros(len(candidates), dtype=np.float32)
        for row, features in enumerate(context.patches.features(candidates.ids)):
            if features is not None:
                gathered = evidence(*verify_pair(query, features, self.verification))
                gains[row] = self.weight * gathered / (gathered + self.saturation)
        return candidates.ordered_by(candidates.scores_as_cosines() + gains)


def verify_pair(
    query: PatchFeatures, candidate: PatchFeatures, verification: Verification
) -> tuple[Matches, Verified | None]:
    """The mutual matches of two images and the transform that most obey, if there is one."""
    matches = mutual_matches(query, candidate)
    found = verification(
        query.places()[matches.query],
        candidate.places()[matches.candidate],
        matches.likeness,
    )
    return matches, found


def evidence(matches: Matches, found: Verified | None) -> float:
    """Gathered cosines of the verified matches, negative ones left out; 0 without a transform."""
    if found is None:
        return 0.0
    return float(np.clip(matches.likeness[found.inliers], 0, None).sum())
