"""From candidates to the order that is shown: fusion of spaces, the cut by p, re-rankers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likeness.errors import QueryError
from likeness.types import ImageIds
from likeness.vectors.scoring import exact_scores
from search.clock import Clock
from search.fusion import evidence_fusion, reciprocal_rank_fusion
from search.request import SearchRequest
from search.rerank.interface import Context, Vectors, shortlist
from search.rerank.registry import rerank
from search.scores import FEWEST, FalseMatchModel
from search.view import View

Scores = npt.NDArray[np.float32]

_DEEPEST = 20_000
"""Candidates per space at which fusion stops looking for more."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one space answers to one request: its candidates, best first.

    query: float32 [d]. ids: int64 [m]; scores: float32 [m], cosines. whole: nothing that may be
    shown is left out. searched: images that it chose from. model: its distribution of non-matches.
    """

    view: View
    query: Vectors
    ids: ImageIds
    scores: Scores
    whole: bool
    searched: int
    model: FalseMatchModel | None


@dataclass(frozen=True, slots=True)
class Order:
    """The images in the order shown. ids: int64 [m]. scores: float32 [m], cosines in the leading
    space. chances: p, float32 [m], or None where it is not known. ranked_by: float32 [m], what the
    order is by, or None when it is by score."""

    ids: ImageIds
    scores: Scores
    chances: Scores | None
    ranked_by: Scores | None

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Order:
        """The images of a mask, or in the order of positions."""
        return Order(
            self.ids[kept],
            self.scores[kept],
            None if self.chances is None else self.chances[kept],
            None if self.ranked_by is None else self.ranked_by[kept],
        )


def order(
    request: SearchRequest,
    parts: Sequence[Part],
    needed: int,
    deepen: Callable[[int], Sequence[Part]],
    context: Callable[[], Context],
    clock: Clock,
) -> Order:
    """At least `needed` images in the order asked for, or all that there are.

    parts: one per space, the leading one first. deepen: the parts with that many candidates.
    context: what re-rankers may use, asked for only when there is one.
    clock: each re-ranker is a stage of its own, `rerank:NAME`.
    Raises QueryError when max_false cannot be honoured.
    """
    answer = (
        _of_one(request, parts[0]) if len(parts) == 1 else _fused(request, parts, needed, deepen)
    )
    if request.max_false is not None:
        if answer.chances is None:
            raise QueryError(
                f"max_false needs p, which is known for pictures in collections of {FEWEST} "
                "images and more; drop it, or ask with pictures alone"
            )
        answer = answer.only(answer.chances <= request.max_false)
    if request.rerank and len(answer):
        answer = _reranked(request, answer, parts[0], context(), clock)
    return answer


def _of_one(request: SearchRequest, part: Part) -> Order:
    chances = None
    if part.model is not None and request.by_pictures:
        chances = _chance(part, part.model, part.scores)
    return Order(part.ids, part.scores, chances, None)


def _fused(
    request: SearchRequest,
    parts: Sequence[Part],
    needed: int,
    deepen: Callable[[int], Sequence[Part]],
) -> Order:
    """Images by what all spaces say of them.

    By evidence, the answer is exact: candidates are fetched until no image that was not fetched
    could be among the `needed` (threshold algorithm: Fagin, Lotem, Naor, "Optimal Aggregation
    Algorithms for Middleware", 2003), or _DEEPEST per space.
    """
    depth = max(len(part.ids) for part in parts)
    while True:
        everyone = np.unique(np.concatenate([part.ids for part in parts]))
        known = [_cosines(part, everyone) for part in parts]
        leading = dict(zip(*(array.tolist() for array in known[0]), strict=True))
        everyone = everyone[np.isin(everyone, known[0][0])]
        models = [part.model for part in parts]
        if request.fusion == "rank" or any(model is None for model in models):
            rankings = [ids[np.lexsort((ids, -scores))] for ids, scores in known]
            ids, fused = reciprocal_rank_fusion(rankings, [1.0] * len(parts))
            certain = len(ids)
        else:
            answers = [
                _evidence_of_all(part, everyone, ids, scores)
                for part, (ids, scores) in zip(parts, known, strict=True)
            ]
            ids, fused = evidence_fusion(answers, [1.0] * len(parts))
            certain = int((fused >= sum(_bar(part) for part in parts)).sum())
        if certain >= needed or depth >= _DEEPEST or all(part.whole for part in parts):
            break
        depth = min(2 * depth, _DEEPEST)
        parts = deepen(depth)
    shown = np.isin(ids, everyone)
    ids, fused = ids[shown], fused[shown]
    scores = np.array([leading[image_id] for image_id in ids.tolist()], dtype=np.float32)
    return Order(ids, scores, _joint_chance(parts, known, ids), fused)


def _cosines(part: Part, ids: ImageIds) -> tuple[ImageIds, Scores]:
    """Those of the images that the space holds, and their cosines, looked up where not known."""
    missing = np.setdiff1d(ids, part.ids)
    found, vectors = part.view.vectors(missing)
    looked_up = exact_scores(part.query, vectors)
    return np.concatenate([part.ids, found]), np.concatenate([part.scores, looked_up])


def _chance(part: Part, model: FalseMatchModel, scores: Scores) -> Scores:
    return model.chance(part.query[np.newaxis], scores[np.newaxis], part.searched).reshape(-1)


def _evidence(part: Part, scores: Scores) -> Scores:
    if part.model is None:
        raise ValueError("a space without a distribution has no evidence")
    evidence = part.model.evidence(part.query[np.newaxis], scores[np.newaxis], part.searched)
    return evidence.reshape(-1)


def _evidence_of_all(
    part: Part, everyone: ImageIds, ids: ImageIds, scores: Scores
) -> tuple[ImageIds, Scores]:
    """Evidence for everyone; an image that the space does not hold yet counts as ordinary.

    ids, scores: what the space says, of images that may not be in everyone.
    """
    if part.model is None:
        raise ValueError("a space without a distribution has no evidence")
    evidence = np.full(len(everyone), part.model.ordinary(part.searched), dtype=np.float32)
    asked = np.isin(ids, everyone)
    evidence[np.searchsorted(everyone, ids[asked])] = _evidence(part, scores[asked])
    return everyone, evidence


def _bar(part: Part) -> float:
    """More evidence than this space has no image for that was not fetched."""
    if part.whole or part.model is None:
        return -np.inf
    weakest = float(_evidence(part, part.scores[-1:])[0])
    return max(weakest, part.model.ordinary(part.searched))


def _joint_chance(
    parts: Sequence[Part], known: Sequence[tuple[ImageIds, Scores]], ids: ImageIds
) -> Scores | None:
    """p over several spaces: the smallest, times their number (Bonferroni), so it promises no
    more than any one space does."""
    smallest: Scores = np.ones(len(ids), dtype=np.float32)
    for part, (held, scores) in zip(parts, known, strict=True):
        if part.model is None:
            return None
        chances = _chance(part, part.model, scores)
        by_id = dict(zip(held.tolist(), chances.tolist(), strict=True))
        mine = np.array([by_id.get(image_id, 1.0) for image_id in ids.tolist()], dtype=np.float32)
        smallest = np.minimum(smallest, mine)
    joint: Scores = np.minimum(smallest * np.float32(len(parts)), np.float32(1))
    return joint


def _reranked(
    request: SearchRequest, answer: Order, lead: Part, context: Context, clock: Clock
) -> Order:
    """The first candidates in a better order, the others after them as they were."""
    head = answer.ids[: request.candidates]
    held, vectors = lead.view.vectors(head)
    given = shortlist(lead.query, held, vectors)
    if answer.ranked_by is not None:
        # Fused: re-rankers that build on scores build on the fused ones.
        place = {image_id: at for at, image_id in enumerate(answer.ids.tolist())}
        fused = answer.ranked_by[[place[image_id] for image_id in given.ids.tolist()]]
        given = given.ordered_by(fused)
    result = given
    for name in request.rerank:
        with clock.stage(f"rerank:{name}"):
            result = rerank(result, (name,), context)
    place = {image_id: at for at, image_id in enumerate(answer.ids.tolist())}
    first = np.array([place[image_id] for image_id in result.ids.tolist()], dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(answer)), first)
    moved = answer.only(np.concatenate([first, rest]))
    behind = np.full(len(rest), -np.inf, dtype=np.float32)
    return Order(moved.ids, moved.scores, moved.chances, np.concatenate([result.scores, behind]))
