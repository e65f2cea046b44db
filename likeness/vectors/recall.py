"""How often the nearest are found: measured when an index is built, and what it is tuned by.

Held-out queries are stored vectors whose own image does not count, and vectors of words where the
space has a text tower: those lie elsewhere than images do, and an index that was tuned on images
alone can be much worse for them (Chen et al. 2024, RoarGraph). The truth is the exact scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from likeness.types import Embeddings
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.idset import IdSet
from likeness.vectors.index import NO_ID, Neighbours, VectorIndex

TARGET = 0.98
"""Of recall@10 and recall@100, for each kind of query and each filter."""

SAMPLE = 200
_DEPTHS = (10, 100)
FILTERS: Mapping[str, float] = {"all": 1.0, "filter_10%": 0.1, "filter_1%": 0.01}

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

    def ask(self, index: VectorIndex) -> dict[str, dict[str, dict[str, float]]]:
        """recall by kind of query (`image`, `text`), filter, and depth (`@10`, `@100`)."""
        report: dict[str, dict[str, dict[str, float]]] = {}
        for question in self._questions:
            depth = question.truth.ids.shape[1]
            found = _without(
                index.search(question.queries, depth + 1, allowed=question.allowed),
                question.own,
                depth,
            )
            report.setdefault(question.kind, {})[question.name] = {
                f"@{k}": round(_recall(found, question.truth, k), 4) for k in _DEPTHS
            }
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
) -> tuple[Knobs, dict[str, dict[str, dict[str, float]]]]:
    """The least effort that reaches the target, else the best there is; with what it reaches."""
    best: tuple[float, Knobs, dict[str, Any]] | None = None
    for knobs in _efforts(index):
        report = examination.ask(index.with_knobs(knobs))
        reached = worst(report)
        if best is None or reached > best[0]:
            best = reached, knobs, report
        if reached >= target:
            break
    assert best is not None  # there is always one effort
    return best[1], best[2]


def _efforts(index: CandidateIndex) -> Iterator[Knobs]:
    """From the cheapest on. Visiting more cells costs more than scoring more candidates."""
    nprobe = max(1, index.cells // 128)  # of cells some of which are visited
    while True:
        for refine, least in ((2, 50), (4, 100), (8, 200)):
            yield replace(index.knobs, nprobe=nprobe, refine=refine, least=least)
        if nprobe >= index.cells:
            break
        nprobe = min(index.cells, nprobe * 2)
    for refine, least in ((16, 400), (32, 1600)):
        yield replace(index.knobs, nprobe=index.cells, refine=refine, least=least)


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
            depth = min(max(_DEPTHS), count - 1)
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
