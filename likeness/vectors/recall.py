"""How often the nearest are found: measured when an index is built, and what it is tuned by.

Held-out queries are stored vectors whose own image does not count, and vectors of words where the
space has a text tower: those lie elsewhere than images do, and an index that was tuned on images
alone can be much worse for them (Chen et al. 2024, RoarGraph). The truth is the exact scan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.idset import IdSet
from likeness.vectors.index import NO_ID, Neighbours, VectorIndex
from likeness.vectors.truth import nearest_under

TARGET = 0.98
"""Of recall@10 and recall@100, for each kind of query and each filter."""

SAMPLE = 200
DEPTHS = (10, 100)
FILTERS: Mapping[str, float] = {"all": 1.0, "filter_10%": 0.1, "filter_1%": 0.01}

_COUNTS = tuple(1 << power for power in range(9, 20))
_TRIALS = 5

_FEWEST, _MOST = 100, 3200
"""Candidates, at least and at most. Fewer are not worth their saving: queries unlike the sample
need more than it does."""

_TO_CELLS = 0.67

_OWN_SAMPLE, _OWN_FOUND = 4096, 0.999

_STEPS = 4
_FARTHER = 1.1
"""How often effort is raised when what was worked out falls short of the target: candidates by a
quarter, the reach by a tenth."""

Report = dict[str, dict[str, dict[str, float]]]

TextQueries = Callable[[], Embeddings]
"""float32 [q, d] of sample words; called only when there is something to measure."""


@dataclass(frozen=True, slots=True)
class Question:
    """Queries of one kind under one filter, and their true answers."""

    kind: str
    name: str
    queries: Embeddings
    own: np.ndarray | None
    allowed: IdSet | None
    truth: Neighbours


class Examination:
    """The questions that an index over some images is asked; their truth is found once."""

    def __init__(
        self,
        ids: ImageIds,
        vectors: StoredVectors,
        text_queries: TextQueries | None = None,
        sample: int = SAMPLE,
    ) -> None:
        """ids: int64 [n], ascending; vectors: float16 [n, d]; those of the index to be asked."""
        self.ids, self.vectors = ids, vectors
        self.questions = _questions(ids, vectors, text_queries, sample)

    def ask(self, index: VectorIndex, depths: Sequence[int] = DEPTHS) -> Report:
        """recall by kind of query (`image`, `text`), filter, and depth (`@10`, `@100`).

        Each depth is asked for by itself, because an index looks harder for more neighbours.
        """
        report: Report = {}
        for question in self.questions:
            known = question.truth.ids.shape[1]
            for k in depths:
                depth = min(k, known)
                answer = index.search(question.queries, depth + 1, allowed=question.allowed)
                found = _without(answer, question.own, depth)
                by_filter = report.setdefault(question.kind, {}).setdefault(question.name, {})
                by_filter[f"@{k}"] = round(_recall(found, question.truth, depth), 4)
        return report

    @property
    def asked(self) -> dict[str, int]:
        """How many queries of each kind."""
        return {question.kind: len(question.queries) for question in self.questions}


def worst(report: Mapping[str, Mapping[str, Mapping[str, float]]]) -> float:
    """The lowest figure of a report; 1 for an empty one."""
    return min(
        (
            value
            for kind in report.values()
            for depths in kind.values()
            for value in depths.values()
        ),
        default=1.0,
    )


def tune(
    index: CandidateIndex, examination: Examination, target: float = TARGET
) -> tuple[Knobs, Report]:
    """The least effort that reaches the target, else the most that is worth it; what it reaches.

    Worked out from where the true neighbours stand: in which of the cells that a query would visit
    one after the other, and at which place among the candidates. Of what may be missed, two thirds
    are granted to the cells. Then examined; the codes alone, since what is compared directly is
    found.
    """
    missed = 1 - target
    knobs = replace(index.knobs, direct=0, gather=0)
    if index.cells > 1:
        knobs = _with_reaches(knobs, index, examination, 1 - missed * _TO_CELLS)
        missed *= 1 - _TO_CELLS
    knobs = replace(knobs, **_candidates(index.with_knobs(knobs), examination, 1 - missed))
    for step in range(_STEPS + 1):
        report = examination.ask(index.with_knobs(knobs))
        if worst(report) >= target or step == _STEPS:
            break
        knobs = _harder(knobs)
    return quickest(index.with_knobs(knobs)).knobs, report


def _with_reaches(
    knobs: Knobs, index: CandidateIndex, examination: Examination, goal: float
) -> Knobs:
    """The reach for each filter, so that the goal's share of the nearest lies in cells visited, and
    nearly every image in those that are visited for itself."""
    own = _own_reach(index, examination)
    needed = dict.fromkeys(((name, depth) for name in FILTERS for depth in DEPTHS), own)
    for question in examination.questions:
        until = index.reach_until(question.queries, question.truth.ids)
        for depth in DEPTHS:
            reaches = np.sort(until[:, :depth][question.truth.ids[:, :depth] != NO_ID])
            most = float(reaches[min(len(reaches) - 1, int(goal * len(reaches)))])
            needed[question.name, depth] = max(needed[question.name, depth], most)
    few, many = DEPTHS
    shallow = np.maximum.accumulate([needed[name, few] for name in FILTERS]).tolist()
    return replace(
        knobs,
        reach=shallow[0],
        reach_tenth=shallow[1],
        reach_hundredth=shallow[2],
        deeper=max(0.0, *(needed[name, many] - needed[name, few] for name in FILTERS)),
    )


def _own_reach(index: CandidateIndex, examination: Examination) -> float:
    """The reach with which all but one in a thousand images visit the cell that they are in.

    It is not always the nearest (see `cells`), and where groups stand apart, their nearest need no
    reach at all: a copy would not find its original.
    """
    ids = examination.ids
    count = min(_OWN_SAMPLE, len(ids))
    rows = np.sort(np.random.default_rng(0).choice(len(ids), count, replace=False))
    queries = np.take(examination.vectors, rows, axis=0).astype(np.float32)
    until = index.reach_until(queries, ids[rows][:, None])
    return float(np.quantile(until, _OWN_FOUND, method="higher"))


def _candidates(index: CandidateIndex, examination: Examination, goal: float) -> dict[str, int]:
    """Candidates to score, so that the goal's share of the nearest is among them."""
    needed = dict.fromkeys(DEPTHS, _FEWEST)
    for question in examination.questions:
        proposed = index.proposed(question.queries, max(DEPTHS), _MOST, question.allowed)
        if proposed is None:
            continue
        for depth in DEPTHS:
            places = _places(proposed, question.truth.ids[:, :depth])
            if len(places):
                # Of those that were proposed at all: the others are in cells that are not visited.
                at = np.sort(places)[min(len(places) - 1, int(goal * len(places)))]
                needed[depth] = max(needed[depth], int(at) + 2)  # the query's own image is one
    least, many = needed[DEPTHS[0]], needed[DEPTHS[1]]
    return {"least": least, "refine": max(1, -(-many // DEPTHS[1]))}


def _places(proposed: ImageIds, truth: ImageIds) -> np.ndarray:
    """Where the true neighbours stand among the ids proposed: int64, of those that do."""
    found = []
    for row, real in zip(proposed, truth, strict=True):
        _, places, _ = np.intersect1d(row, real[real != NO_ID], return_indices=True)
        found.append(places)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _harder(knobs: Knobs) -> Knobs:
    def more(value: int, most: int) -> int:
        return min(most, value + max(1, value // 4))

    return replace(
        knobs,
        refine=more(knobs.refine, _MOST // DEPTHS[1]),
        least=more(knobs.least, _MOST),
        reach=_FARTHER * knobs.reach,
        reach_tenth=_FARTHER * knobs.reach_tenth,
        reach_hundredth=_FARTHER * knobs.reach_hundredth,
    )


def quickest(index: CandidateIndex) -> CandidateIndex:
    """The index with `gather` and `direct` as is quickest here, from growing random sets.

    Beside choosing by a selector: up to how many allowed images scanning their gathered codes is
    quicker, and up to how many comparing them all is.
    """
    choosing = index.with_knobs(replace(index.knobs, direct=0, gather=0))
    gathering = index.with_knobs(replace(index.knobs, direct=0, gather=len(index)))
    gather = _limit(index, lambda allowed, query: _quicker(gathering, choosing, query, allowed))
    best = index.with_knobs(replace(index.knobs, direct=0, gather=gather))
    direct = _limit(index, lambda allowed, query: _quicker(index.exact, best, query, allowed))
    return index.with_knobs(replace(index.knobs, direct=direct, gather=gather))


def _limit(index: CandidateIndex, wins: Callable[[IdSet, Embeddings], bool]) -> int:
    """The most allowed images, of growing random sets, with which it still wins.

    It has lost when it loses twice in a row: once may be another process's doing.
    """
    ids, limit, lost = index.ids, 0, 0
    random = np.random.default_rng(0)
    query = index.vectors(ids[:1])[1].astype(np.float32)
    for count in _COUNTS:
        if count > len(ids):
            break
        # All of the fewest are candidates anyway.
        if count <= index.knobs.least or wins(
            IdSet(random.choice(ids, count, replace=False)), query
        ):
            limit, lost = count, 0
        else:
            lost += 1
        if lost == 2:
            break
    return limit


def _quicker(index: VectorIndex, other: VectorIndex, query: Embeddings, allowed: IdSet) -> bool:
    return _least_seconds(index, query, allowed) <= _least_seconds(other, query, allowed)


def _least_seconds(index: VectorIndex, query: Embeddings, allowed: IdSet) -> float:
    spent = []
    for _ in range(_TRIALS):
        begun = time.perf_counter()
        index.search(query, min(DEPTHS), allowed=allowed)
        spent.append(time.perf_counter() - begun)
    return min(spent)


def _questions(
    ids: ImageIds, vectors: StoredVectors, text_queries: TextQueries | None, sample: int
) -> list[Question]:
    random = np.random.default_rng(0)
    if len(ids) < 2:
        return []
    rows = np.sort(random.choice(len(ids), min(sample, len(ids)), replace=False))
    kinds: list[tuple[str, Embeddings, np.ndarray | None]] = [
        ("image", np.take(vectors, rows, axis=0).astype(np.float32), ids[rows])
    ]
    if text_queries is not None:
        kinds.append(("text", text_queries()[:sample], None))
    masks = [
        None if share == 1.0 else random.random(len(ids)) < share for share in FILTERS.values()
    ]
    allowed = [None if mask is None else IdSet(ids[mask]) for mask in masks]
    queries = np.concatenate([asked for _, asked, _ in kinds])
    answers = nearest_under(ids, vectors, queries, max(DEPTHS) + 1, masks)
    questions = []
    start = 0
    for kind, asked, own in kinds:
        part = slice(start, start + len(asked))
        start = part.stop
        for name, chosen, found in zip(FILTERS, allowed, answers, strict=True):
            depth = min(max(DEPTHS), (len(ids) if chosen is None else len(chosen)) - 1)
            if depth > 0 and len(asked):
                truth = _without(Neighbours(found.ids[part], found.scores[part]), own, depth)
                questions.append(Question(kind, name, asked, own, chosen, truth))
    return questions


def _without(found: Neighbours, own: np.ndarray | None, depth: int) -> Neighbours:
    """The `depth` best but for each query's own image."""
    if own is None:
        return Neighbours(found.ids[:, :depth], found.scores[:, :depth])
    kept = Neighbours.nobody(len(found.ids), depth)
    for row in range(len(found.ids)):
        others = np.flatnonzero(found.ids[row] != own[row])[:depth]
        kept.ids[row, : len(others)] = found.ids[row][others]
        kept.scores[row, : len(others)] = found.scores[row][others]
    return kept


def _recall(found: Neighbours, truth: Neighbours, k: int) -> float:
    """Share of the k nearest that were found; one as near as the k-th is as good as it."""
    shares = []
    for row in range(len(truth.ids)):
        real = truth.ids[row, :k] != NO_ID
        if real.any():
            bar = truth.scores[row, :k][real].min()
            got = found.ids[row, :k] != NO_ID
            hits = int((found.scores[row, :k][got] >= bar).sum())
            shares.append(min(1.0, hits / int(real.sum())))
    return float(np.mean(shares)) if shares else 1.0
