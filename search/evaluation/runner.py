"""Runs the queries of a labelled set through chains of re-rankers and measures the answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from likeness.types import Embeddings
from search.evaluation.labels import LabelledQuery, LabelledSet
from search.evaluation.metrics import (
    average_precision,
    precision_at,
    recalled_at,
    trapezoid_average_precision,
)
from search.rerank.interface import Context, shortlist
from search.rerank.registry import needs_pixels, rerank

CUTS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Measured:
    """A chain's figures, means over the queries. milliseconds: of the re-ranking of one query;
    slowest: the 95th percentile of it."""

    chain: str
    mean_average_precision: float
    precision: Mapping[int, float]
    recall: Mapping[int, float]
    milliseconds: float
    slowest: float
    queries: int

    def document(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def evaluate(
    labelled: LabelledSet,
    gallery: Embeddings,
    queries: Embeddings,
    chains: Sequence[tuple[str, ...]],
    *,
    candidates: int = 200,
    context: Context = Context(),  # noqa: B008 - frozen
    patches_of: Callable[[int], Context] | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[Measured]:
    """Measure each chain; an empty chain is the plain order by cosine.

    gallery: float32 [n, d]. queries: float32 [q, d], one per labelled.queries. candidates: length
    of the shortlist that is re-ranked; what follows keeps its order. patches_of: context of a
    query for chains that need pixels.
    """
    rows: list[list[list[float]]] = [[] for _ in chains]
    measure = trapezoid_average_precision if labelled.trapezoid else average_precision
    for number, (query, vector) in enumerate(zip(labelled.queries, queries, strict=True)):
        order = _plain_order(gallery @ vector, query)
        top = order[:candidates]
        found = shortlist(vector, top, gallery[top])
        for row, chain in zip(rows, chains, strict=True):
            # Patch features of the query are read before the clock starts: a service has the
            # query image at hand.
            with_patches = patches_of is not None and needs_pixels(chain)
            used = patches_of(number) if with_patches and patches_of is not None else context
            start = time.perf_counter()
            answer = rerank(found, chain, used)
            seconds = time.perf_counter() - start
            ranking = np.concatenate([answer.ids, order[candidates:]])
            relevant = np.isin(ranking, np.fromiter(query.positives, np.int64))
            row.append(
                [
                    measure(relevant, len(query.positives)),
                    *(precision_at(relevant, k) for k in CUTS),
                    *(recalled_at(relevant, k) for k in CUTS),
                    seconds * 1000,
                ]
            )
        progress(number + 1)
    return [_summary(chain, np.array(row)) for chain, row in zip(chains, rows, strict=True)]


def _plain_order(cosines: npt.NDArray[np.float32], query: LabelledQuery) -> npt.NDArray[np.int64]:
    """Gallery numbers by cosine, best first, without junk."""
    order = np.argsort(-cosines, kind="stable")
    if query.junk:
        order = order[~np.isin(order, np.fromiter(query.junk, np.int64))]
    return order


def _summary(chain: tuple[str, ...], figures: npt.NDArray[np.float64]) -> Measured:
    means = figures.mean(axis=0)
    return Measured(
        chain=",".join(chain) or "none",
        mean_average_precision=float(means[0]),
        precision=dict(zip(CUTS, means[1:4].tolist(), strict=True)),
        recall=dict(zip(CUTS, means[4:7].tolist(), strict=True)),
        milliseconds=float(means[7]),
        slowest=float(np.percentile(figures[:, 7], 95)),
        queries=len(figures),
    )
