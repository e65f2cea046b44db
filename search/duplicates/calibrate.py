"""Thresholds learnt from the user's own library, without a label.

A sample of the library is edited in memory: pairs that are copies, for certain. Each sampled image
beside its nearest other images: pairs that are none, but for the copies that the library already
holds, which is why pairs that agree as well as our own edits do are left out. The threshold is
where false matches are as rare as asked for; between the last one seen and there the tail is
extrapolated (exponential excesses over a high threshold: Pickands, 1975).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.encoders.interface import Encoder
from likeness.imaging.perceptual import perceptual_hash
from likeness.types import RgbImage
from likeness.vectors.knn import Neighbours, Vectors
from search.duplicates.candidates import MOST_BITS, NEAR_NEIGHBOURS, bits_between
from search.duplicates.edits import EDITS, Edit
from search.duplicates.geometry import Evidence, Sketch, compare, sketch
from search.duplicates.pictures import PictureLoader
from search.duplicates.relations import Thresholds

DEFAULT_MAX_FALSE = 0.001
SAMPLE = 24
OTHERS = 120
OTHERS_NEIGHBOURS = 6
GROWTH = 1.5
"""Calibrated anew when the collection has grown by half."""

_LIKE_A_COPY = 0.8
_LEAST_COPY_SCORE, _MOST_COPY_SCORE = 0.5, 0.9
_TAIL = 0.1
_FEWEST_EXCESSES = 8
_SEED = 0


@dataclass(frozen=True, slots=True)
class EditRecall:
    """Of one edit: how many copies of the sample were made, and which share would be found.

    shortlisted: share that become candidates; found: that also pass the proof.
    """

    edit: str
    strength: int
    copies: int
    shortlisted: float
    found: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """thresholds: for `max_false`, the share of images with a false match. images: of the library
    then. recalls: what to expect, per edit. worst_other: highest score between images that are no
    copies; others: how many images were compared with their neighbours for it.
    """

    thresholds: Thresholds
    max_false: float
    images: int
    others: int
    worst_other: float
    recalls: Sequence[EditRecall] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Calibration:
        return cls(
            thresholds=Thresholds(**document["thresholds"]),
            max_false=document["max_false"],
            images=document["images"],
            others=document["others"],
            worst_other=document["worst_other"],
            recalls=tuple(EditRecall(**recall) for recall in document["recalls"]),
        )

    def is_stale(self, images: int, max_false: float) -> bool:
        """Whether the library has grown by half since, or another rate is asked for."""
        return images > GROWTH * max(self.images, 1) or max_false != self.max_false


@dataclass(frozen=True, slots=True)
class Library:
    """What calibration looks at. vectors: [n, d]; neighbours: of the same rows; sha256: uint8
    [n, 32]; uri_of: of a row."""

    vectors: Vectors
    neighbours: Neighbours
    sha256: npt.NDArray[np.uint8]
    uri_of: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Copy:
    edit: Edit
    row: int
    evidence: Evidence | None
    cosine: float
    better: int
    bits: int


def calibrate(
    library: Library,
    encoder: Encoder,
    loader: PictureLoader,
    *,
    max_false: float = DEFAULT_MAX_FALSE,
    sample: int = SAMPLE,
    edits: Sequence[Edit] = EDITS,
    advance: Callable[[str], None] = lambda _what: None,
) -> Calibration:
    """The thresholds at which a share of max_false of the images has a false match."""
    n = len(library.vectors)
    random = np.random.default_rng(_SEED)
    chosen = random.permutation(n)
    advance("comparing images with their neighbours")
    others = _scores_of_others(library, loader, chosen[:OTHERS])
    advance("making edited copies")
    copies = _edited_copies(library, encoder, loader, chosen[:sample], edits)
    worst_per_image = [max(scores, default=0.0) for scores, _ in others]
    inliers = [max(found, default=0) for _, found in others]
    copy_score = float(
        np.clip(
            tail_threshold(worst_per_image, max_false, default=Thresholds().copy_score),
            _LEAST_COPY_SCORE,
            _MOST_COPY_SCORE,
        )
    )
    scene_inliers = int(
        np.clip(tail_threshold(inliers, max_false, default=Thresholds().scene_inliers), 12, 80)
    )
    thresholds = _with_shortlist(copies, copy_score, scene_inliers)
    return Calibration(
        thresholds=thresholds,
        max_false=max_false,
        images=n,
        others=len(worst_per_image),
        worst_other=max(worst_per_image, default=0.0),
        recalls=tuple(_recalls(copies, thresholds, edits)),
    )


def tail_threshold(values: Sequence[float], share: float, *, default: float) -> float:
    """The value that a share of such values exceeds, by the fit to the highest tenth of them.

    default: the least that is returned while there are too few values to fit, or none above 0.
    """
    found = np.sort(np.asarray(values, dtype=np.float64))
    start = float(np.quantile(found, 1 - _TAIL)) if len(found) else 0.0
    excesses = found[found > start] - start
    if len(excesses) < _FEWEST_EXCESSES:
        return max(default, float(found.max(initial=0.0)) * 1.1)
    exceeding = len(excesses) / len(found)
    fitted = start + float(excesses.mean()) * float(np.log(max(1.0, exceeding / share)))
    return max(fitted, float(found[-1]) if share * len(found) < 1 else 0.0)


def _scores_of_others(
    library: Library, loader: PictureLoader, rows: npt.NDArray[np.int64]
) -> list[tuple[list[float], list[int]]]:
    """Per image: scores and inliers beside neighbours that are not, by all looks, its copies."""
    near = library.neighbours.positions[rows, :OTHERS_NEIGHBOURS]
    wanted = np.unique(np.concatenate([rows, near[near >= 0]]))
    pictures = loader.small([library.uri_of(int(row)) for row in wanted])
    sketches: dict[int, Sketch | None] = {
        int(row): None if pixels is None else sketch(pixels)
        for row, pixels in zip(wanted, pictures, strict=True)
    }
    result = []
    for row, neighbours in zip(rows, near, strict=True):
        own = sketches[int(row)]
        if own is None:
            continue
        scores, inliers = [], []
        for other in neighbours[neighbours >= 0]:
            theirs = sketches[int(other)]
            if theirs is None or bool((library.sha256[row] == library.sha256[other]).all()):
                continue
            evidence = compare(own, theirs)
            if evidence is not None and evidence.score < _LIKE_A_COPY:
                scores.append(evidence.score)
                inliers.append(evidence.inliers)
        result.append((scores, inliers))
    return result


def _edited_copies(
    library: Library,
    encoder: Encoder,
    loader: PictureLoader,
    rows: npt.NDArray[np.int64],
    edits: Sequence[Edit],
) -> list[_Copy]:
    copies: list[_Copy] = []
    originals = loader.small([library.uri_of(int(row)) for row in rows])
    for row, pixels in zip(rows, originals, strict=True):
        if pixels is None:
            continue
        made = [edit(pixels, np.random.default_rng(int(row))) for edit in edits]
        copies += _looked_at(library, encoder, int(row), pixels, made, edits)
    return copies


def _looked_at(
    library: Library,
    encoder: Encoder,
    row: int,
    pixels: RgbImage,
    made: Sequence[RgbImage],
    edits: Sequence[Edit],
) -> list[_Copy]:
    vectors = encoder.embed(made)
    own_vector = np.asarray(library.vectors[row], dtype=np.float32)
    cosine = vectors @ own_vector
    better = _how_many_nearer(library.vectors, vectors, cosine, row)
    own_sketch, own_hash = sketch(pixels), perceptual_hash(pixels)[0]
    result = []
    for number, (copy, edit) in enumerate(zip(made, edits, strict=True)):
        copy_hash = perceptual_hash(copy)[0]
        bits = 257
        if own_hash is not None and copy_hash is not None:
            bits = bits_between(
                np.frombuffer(own_hash, dtype=np.uint8), np.frombuffer(copy_hash, dtype=np.uint8)
            )
        evidence = compare(own_sketch, sketch(copy))
        result.append(_Copy(edit, row, evidence, float(cosine[number]), int(better[number]), bits))
    return result


def _how_many_nearer(
    vectors: Vectors,
    copies: npt.NDArray[np.float32],
    cosine: npt.NDArray[np.float32],
    row: int,
) -> npt.NDArray[np.int64]:
    """How many images of the library are nearer to each copy than its original is."""
    nearer = np.zeros(len(copies), dtype=np.int64)
    for start in range(0, len(vectors), 65_536):
        block = np.asarray(vectors[start : start + 65_536], dtype=np.float32)
        above = copies @ block.T > cosine[:, None]
        if start <= row < start + len(block):
            above[:, row - start] = False
        nearer += above.sum(axis=1)
    return nearer


def _with_shortlist(copies: Sequence[_Copy], copy_score: float, scene_inliers: int) -> Thresholds:
    """Cosines from which pairs are compared: one copy in a hundred, and in three, lies lower."""
    proven = [
        copy.cosine
        for copy in copies
        if copy.evidence is not None and copy.evidence.score >= copy_score
    ]
    usual = Thresholds()
    if len(proven) < 50:
        return Thresholds(copy_score=copy_score, scene_inliers=scene_inliers)
    far, near = (float(value) for value in np.quantile(proven, [0.01, 0.33]))
    return Thresholds(
        copy_score=copy_score,
        scene_inliers=scene_inliers,
        sure_bits=usual.sure_bits,
        near_cosine=near,
        far_cosine=min(far, near),
    )


def _recalls(
    copies: Sequence[_Copy], thresholds: Thresholds, edits: Sequence[Edit]
) -> list[EditRecall]:
    recalls = []
    for edit in edits:
        own = [copy for copy in copies if copy.edit is edit]
        shortlisted = [
            copy
            for copy in own
            if copy.bits <= MOST_BITS
            or (copy.better < 3 and copy.cosine >= thresholds.far_cosine)
            or (copy.better < NEAR_NEIGHBOURS and copy.cosine >= thresholds.near_cosine)
        ]
        found = [
            copy
            for copy in shortlisted
            if copy.evidence is not None and copy.evidence.score >= thresholds.copy_score
        ]
        total = max(1, len(own))
        recalls.append(
            EditRecall(
                edit.name, edit.strength, len(own), len(shortlisted) / total, len(found) / total
            )
        )
    return recalls
