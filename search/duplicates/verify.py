"""Candidates looked at: what relation a pair has, and the proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from search.duplicates.candidates import Candidates
from search.duplicates.geometry import Evidence, compare
from search.duplicates.pictures import PictureLoader, Sketches
from search.duplicates.relations import Pair, Relation, Thresholds

_SAME_SCORE = 0.97
_SAME_MEAN_LEVELS = 4.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_SAME_PLACE_LEVELS = 12.0
_PLACE = 8
_BATCH = 256


class Verifier:
    """Types pairs by looking at their pictures.

    sizes: (width, height) of a row's image, upright, in pixels.
    """

    def __init__(
        self,
        loader: PictureLoader,
        uri_of: Callable[[int], str],
        size_of: Callable[[int], tuple[int, int]],
        thresholds: Thresholds,
    ) -> None:
        self._loader, self._uri_of, self._size_of = loader, uri_of, size_of
        self._thresholds = thresholds
        self._sketches = Sketches(loader, uri_of)
        self.compared = 0

    @property
    def unreadable(self) -> set[int]:
        """Rows whose pictures could not be read."""
        return self._sketches.unreadable

    def verify(
        self, candidates: Candidates, advance: Callable[[int], None] = lambda _n: None
    ) -> list[Pair]:
        """The pairs that are at least of the same scene, in the order of the candidates' rows."""
        pairs: list[Pair] = []
        order = reading_order(candidates)
        for start in range(0, len(order), _BATCH):
            block = order[start : start + _BATCH]
            rows = np.concatenate([candidates.first[block], candidates.second[block]])
            self._sketches.fetch(int(row) for row in rows)
            for at in block:
                bits = int(candidates.bits[at])
                pair = self.pair(
                    int(candidates.first[at]),
                    int(candidates.second[at]),
                    float(candidates.cosine[at]),
                    None if bits < 0 else bits,
                )
                if pair is not None:
                    pairs.append(pair)
            advance(len(block))
        return sorted(self._with_same_pixels(pairs), key=lambda p: (p.first, p.second))

    def pair(self, first: int, second: int, cosine: float, bits: int | None) -> Pair | None:
        """The pair when it is at least of the same scene, not yet told from the same pixels."""
        here, there = self._sketches.get(first), self._sketches.get(second)
        limits = self._thresholds
        if here is None or there is None:
            if bits is not None and bits <= limits.sure_bits:
                return Pair(first, second, Relation.EDITED_COPY, 1 - bits / 256, cosine, bits, None)
            return None
        self.compared += 1
        evidence = compare(here, there)
        if evidence is None:
            return None
        if evidence.score >= limits.copy_score:
            relation = Relation.EDITED_COPY
        elif evidence.inliers >= limits.scene_inliers:
            relation = Relation.SAME_SCENE
        else:
            return None
        return Pair(first, second, relation, evidence.score, cosine, bits, evidence)

    def _with_same_pixels(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Pairs of equal size that agree everywhere, compared again in full."""
        result = []
        for pair in pairs:
            if self._may_be_same(pair):
                here, there = self._loader.fine(
                    [self._uri_of(pair.first), self._uri_of(pair.second)]
                )
                if here is not None and there is not None and same_pixels(here, there):
                    pair = Pair(
                        pair.first,
                        pair.second,
                        Relation.SAME_PIXELS,
                        1.0,
                        pair.cosine,
                        pair.bits,
                        pair.evidence,
                    )
            result.append(pair)
        return result

    def _may_be_same(self, pair: Pair) -> bool:
        return (
            pair.evidence is not None
            and pair.evidence.score >= _SAME_SCORE
            and _lies_as_it_is(pair.evidence)
            and self._size_of(pair.first) == self._size_of(pair.second)
        )


def same_pixels(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    """Whether two pictures differ by no more than compression, on the whole and in every place.

    uint8 [h, w, 3] each. On the whole: 4 of 255 levels of luma on average. In every place of
    8 × 8 pixels: 12 levels between the means of a colour, since compression errs to both sides and
    a mark to one.
    """
    if first.shape != second.shape:
        return False
    difference = first.astype(np.float32) - second
    if float(np.abs(difference @ _LUMA).mean()) > _SAME_MEAN_LEVELS:
        return False
    height, width = (side // _PLACE * _PLACE for side in difference.shape[:2])
    if not height or not width:
        return float(np.abs(difference).max()) <= _SAME_PLACE_LEVELS
    places = difference[:height, :width].reshape(
        height // _PLACE, _PLACE, width // _PLACE, _PLACE, 3
    )
    return float(np.abs(places.mean(axis=(1, 3))).max()) <= _SAME_PLACE_LEVELS


def reading_order(candidates: Candidates) -> npt.NDArray[np.int64]:
    """Candidates so ordered that the images in use at a time are few.

    Rows are renumbered to bring those that are compared together (reverse Cuthill & McKee, 1969).
    """
    if not len(candidates):
        return np.empty(0, dtype=np.int64)
    rows, inverse = np.unique(
        np.concatenate([candidates.first, candidates.second]), return_inverse=True
    )
    left, right = inverse[: len(candidates)], inverse[len(candidates) :]
    ones = np.ones(2 * len(candidates), dtype=np.int8)
    graph = coo_matrix(
        (ones, (np.concatenate([left, right]), np.concatenate([right, left]))),
        shape=(len(rows), len(rows)),
    ).tocsr()
    place = np.empty(len(rows), dtype=np.int64)
    place[reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(len(rows))
    return np.lexsort(
        (np.minimum(place[left], place[right]), np.maximum(place[left], place[right]))
    ).astype(np.int64)


def _lies_as_it_is(evidence: Evidence) -> bool:
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return bool(np.abs(np.array(evidence.transform) - identity).max() < 0.01)
