"""How often the nearest are found: measured when an index is built, and what it is tuned by.

Held-out queries are stored vectors whose own image does not count, and vectors of words where the
space has a text tower: those lie elsewhere than images do, and an index that was tuned on images
alone can be much worse for them (Chen et al. 2024, RoarGraph). The truth is the exact scan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from likeness.types import Embeddings
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.idset import IdSet
from likeness.vectors.index import NO_ID, Neighbours, VectorIndex

TARGET = 0.98
"""Of recall@10 and recall@100, for each kind of query and each filter."""

SAMPLE = 200
DEPTHS = (10, 100)
FILTERS: Mapping[str, float] = {"all": 1.0, "filter_10%": 0.1, "filter_1%": 0.01}

_DIRECT_COUNTS = tuple(1 << power for power in range(9, 20))
_TRIALS = 4

_LEAST = (100, 200, 400, 800, 1600)
_REFINE = (2, 4, 8, 16, 32)
"""Candidates to try, at least and for each neighbour asked for. Fewer than the first are not worth
their saving: queries unlike the sample need more than it does."""

Report = dict[str, dict[str, dict[str, float]]]

TextQueries = Callable[[], Embeddings]
"""float32 [q, d] of sample words; called only when there is something to measure."""


@dataclass(frozen=True, slots=True)
class _Question:
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
        self, exact: VectorIndex, text_queries: TextQueries | None = None, sample: int = SAMPLE
    ) -> None:
        """exact: over the same images as the index that will be asked."""
        self._questions = list(_questions(exact, text_queries, sample))

    def ask(self, index: VectorIndex, depths: Sequence[int] = DEPTHS) -> Report:
        """recall by kind of query (`image`, `text`), filter, and depth (`@10`, `@100`).

        Each depth is asked for by itself, because an index looks harder for more neighbours.
        """
        report: Report = {}
        for question in self._questions:
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
        return {question.kind: len(question.queries) for question in self._questions}


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
    """The least effort that reaches the target, else the most there is; with what it reaches.

    First the cells to visit, with candidates in plenty; then how many candidates ten neighbours
    need, then how many for each of a hundred. The codes are examined alone: what is compared
    directly can only be better.
    """
    index = index.with_knobs(replace(index.knobs, direct=0))
    nprobe = max(1, index.cells // 128)
    while True:
        most = replace(index.knobs, nprobe=nprobe, least=_LEAST[-1], refine=_REFINE[-1])
        if nprobe >= index.cells or worst(examination.ask(index.with_knobs(most))) >= target:
            break
        nprobe = min(index.cells, 2 * nprobe)
    knobs = replace(most, refine=_REFINE[0])
    for least in _LEAST:
        knobs = replace(knobs, least=least)
        if worst(examination.ask(index.with_knobs(knobs), DEPTHS[:1])) >= target:
            break
    for refine in _REFINE:
        knobs = replace(knobs, refine=refine)
        if worst(examination.ask(index.with_knobs(knobs), DEPTHS[1:])) >= target:
            break
    knobs = replace(knobs, direct=direct_limit(index.with_knobs(knobs)))
    return knobs, examination.ask(index.with_knobs(knobs))


def direct_limit(index: CandidateIndex) -> int:
    """Up to how many allowed images comparing them all is quicker here than choosing candidates.

    Measured on growing random sets, until candidates win.
    """
    ids, limit = index.ids, 0
    choosing = index.with_knobs(replace(index.knobs, direct=0))
    random = np.random.default_rng(0)
    query = index.vectors(ids[:1])[1].astype(np.float32)
    for count in _DIRECT_COUNTS:
        if count > len(ids):
            break
        allowed = IdSet(random.choice(ids, count, replace=False))
        if _least_seconds(index.exact, query, allowed) > _least_seconds(choosing, query, allowed):
            break
        limit = count
    return limit


def _least_seconds(index: VectorIndex, query: Embeddings, allowed: IdSet) -> float:
    spent = []
    for _ in range(_TRIALS):
        begun = time.perf_counter()
        index.search(query, min(DEPTHS), allowed=allowed)
        spent.append(time.perf_counter() - begun)
    return min(spent)


def _questions(
    exact: VectorIndex, text_queries: TextQueries | None, sample: int
) -> Iterator[_Question]:
    random = np.random.default_rng(0)
    ids = exact.ids
    if len(ids) < 2:
        return
    own = np.sort(random.choice(ids, min(sample, len(ids)), replace=False))
    kinds: list[tuple[str, Embeddings, np.ndarray | None]] = [
        ("image", exact.vectors(own)[1].astype(np.float32), own)
    ]
    if text_queries is not None:
        kinds.append(("text", text_queries()[:sample], None))
    filters = {
        name: None if share == 1.0 else IdSet(ids[random.random(len(ids)) < share])
        for name, share in FILTERS.items()
    }
    for kind, queries, known in kinds:
        for name, allowed in filters.items():
            count = exact.matched(allowed=allowed)
            depth = min(max(DEPTHS), count - 1)
            if depth > 0 and len(queries):
                found = exact.search(queries, depth + 1, allowed=allowed)
                truth = _without(found, known, depth)
                yield _Question(kind, name, queries, known, allowed, truth)


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
