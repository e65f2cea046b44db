"""Why an image matched: the region and the map by which one picture lies in the other, and where
the query's encoder looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likeness.encoders.interface import Encoder
from likeness.encoders.preprocess import Preprocess
from likeness.errors import NoAttentionMap, NoPatchTokens
from likeness.types import RgbImage
from search.rerank.matching import Affine, Points, Verification, Verified, apply_affine
from search.rerank.patch_store import features_of
from search.rerank.patches import evidence, verify_pair

Box = tuple[float, float, float, float]

_BRIGHT = 0.95


@dataclass(frozen=True, slots=True)
class PatchMatch:
    """A patch of the query and its partner: centres (x, y), 0..1 of each picture's width and
    height. likeness: cosine. verified: whether the pair obeys the map."""

    query: tuple[float, float]
    candidate: tuple[float, float]
    likeness: float
    verified: bool


@dataclass(frozen=True, slots=True)
class MatchedRegion:
    """The part that both pictures share.

    query: left, top, right, bottom of it, 0..1 of the query's width and height. candidate: its
    four corners in the candidate, (x, y) in 0..1, in the order top left, top right, bottom right,
    bottom left of the query; they may lie outside. transform: float32 [2, 3], (x, y, 1) of the
    query → (x, y) of the candidate, both 0..1. mirrored: left and right are exchanged.
    """

    query: Box
    candidate: tuple[tuple[float, float], ...]
    transform: Affine
    mirrored: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """evidence: gathered cosines of verified patches; 0 without a region, about 10 convinces.
    attention: float32 [h, w], 0..1, over attention_box of the query (relative, what the
    encoder saw of it). missing: what could not be said, and why.
    """

    region: MatchedRegion | None
    matches: tuple[PatchMatch, ...]
    evidence: float
    attention: npt.NDArray[np.float32] | None
    attention_box: Box
    missing: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """For JSON: plain lists and numbers."""
        region = self.region
        return {
            "region": None
            if region is None
            else {
                "query": list(region.query),
                "candidate": [list(corner) for corner in region.candidate],
                "transform": region.transform.astype(float).tolist(),
                "mirrored": region.mirrored,
            },
            "evidence": self.evidence,
            "matches": [
                {
                    "query": list(match.query),
                    "candidate": list(match.candidate),
                    "likeness": match.likeness,
                    "verified": match.verified,
                }
                for match in self.matches
            ],
            "attention": None
            if self.attention is None
            else {
                "box": list(self.attention_box),
                "map": np.round(self.attention.astype(float), 4).tolist(),
            },
            "missing": list(self.missing),
        }


def explain(
    encoder: Encoder,
    query: RgbImage,
    candidate: RgbImage,
    *,
    verification: Verification = Verification(),  # noqa: B008 - frozen
) -> Explanation:
    """Compare two images patch by patch, and ask the encoder where it looked in the first.

    query, candidate: uint8 [h, w, 3]. An encoder without patch tokens or attention leaves that
    part out and says so in `missing`.
    """
    missing: list[str] = []
    seen_query = seen_box(encoder.preprocess, query.shape[1], query.shape[0])
    region: MatchedRegion | None = None
    matches: tuple[PatchMatch, ...] = ()
    gathered = 0.0
    try:
        region, matches, gathered = _compare(encoder, query, candidate, verification)
    except NoPatchTokens as error:
        missing.append(str(error))
    attention = None
    try:
        attention = _attention(encoder, query)
    except NoAttentionMap as error:
        missing.append(str(error))
    return Explanation(region, matches, gathered, attention, seen_query, tuple(missing))


def seen_box(preprocess: Preprocess, width: int, height: int) -> Box:
    """What part of an image its encoder sees: left, top, right, bottom, relative.

    Beyond 0..1 where the preprocessing pads.
    """
    side = preprocess.resized_side
    if preprocess.resize == "squash":
        wide, high = float(side), float(side)
    elif preprocess.resize == "longest":
        wide, high = side * min(1, width / height), side * min(1, height / width)
    else:
        wide, high = side * max(1, width / height), side * max(1, height / width)
    left, top = (1 - preprocess.size / wide) / 2, (1 - preprocess.size / high) / 2
    return (left, top, 1 - left, 1 - top)


def _compare(
    encoder: Encoder, query: RgbImage, candidate: RgbImage, verification: Verification
) -> tuple[MatchedRegion | None, tuple[PatchMatch, ...], float]:
    ours, theirs = features_of(encoder, [query, candidate])
    matches, found = verify_pair(ours, theirs, verification)
    to_query = _grid_to_image(encoder.preprocess, query, ours.grid)
    to_candidate = _grid_to_image(encoder.preprocess, candidate, theirs.grid)
    places = ours.places()[matches.query]
    here = apply_affine(to_query, places)
    there = apply_affine(to_candidate, theirs.places()[matches.candidate])
    verified = np.zeros(len(matches), dtype=bool) if found is None else found.inliers
    pairs = tuple(
        PatchMatch(
            (float(one[0]), float(one[1])),
            (float(two[0]), float(two[1])),
            float(likeness),
            bool(good),
        )
        for one, two, likeness, good in zip(here, there, matches.likeness, verified, strict=True)
    )
    if found is None:
        return None, pairs, 0.0
    region = _region(found, places[found.inliers], to_query, to_candidate)
    return region, pairs, evidence(matches, found)


def _region(
    found: Verified, places: Points, to_query: Affine, to_candidate: Affine
) -> MatchedRegion:
    """The box around the verified patches, whole patches, and where it lies in the candidate."""
    low, high = places.min(axis=0) - 0.5, places.max(axis=0) + 0.5
    corners = np.array(
        [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]],
        dtype=np.float32,
    )
    ends = apply_affine(to_query, np.stack([low, high]))
    box = np.clip(ends, 0, 1)
    quad = apply_affine(to_candidate, apply_affine(found.transform, corners))
    whole = _square(to_candidate) @ _square(found.transform) @ np.linalg.inv(_square(to_query))
    return MatchedRegion(
        query=(float(box[0, 0]), float(box[0, 1]), float(box[1, 0]), float(box[1, 1])),
        candidate=tuple((float(x), float(y)) for x, y in quad),
        transform=whole[:2].astype(np.float32),
        mirrored=found.mirrored,
    )


def _grid_to_image(preprocess: Preprocess, image: RgbImage, grid: tuple[int, int]) -> Affine:
    """float32 [2, 3]: (x, y) in patches → 0..1 of the image."""
    left, top, right, bottom = seen_box(preprocess, image.shape[1], image.shape[0])
    return np.array(
        [[(right - left) / grid[1], 0, left], [0, (bottom - top) / grid[0], top]],
        dtype=np.float32,
    )


def _square(transform: Affine) -> npt.NDArray[np.float64]:
    return np.vstack([transform.astype(np.float64), [0, 0, 1]])


def _attention(encoder: Encoder, image: RgbImage) -> npt.NDArray[np.float32]:
    """The mean over the heads, float32 [h, w], 0..1; the largest twentieth is all 1.

    Vision Transformers use a few patches, often corners, as a notepad and attend to those most
    (Darcet et al., "Vision Transformers Need Registers", ICLR 2024); scaled by the largest, the
    map would show nothing else.
    """
    maps = encoder.attention([image])[0]
    grid = encoder.spec.patch_grid
    if grid is None:
        raise NoAttentionMap(encoder.spec.name, "its patches have no grid")
    mean = maps.mean(axis=0).reshape(grid)
    bright = max(float(np.quantile(mean, _BRIGHT)), 1e-12)
    shares: npt.NDArray[np.float32] = np.minimum(mean / bright, 1).astype(np.float32)
    return shares
