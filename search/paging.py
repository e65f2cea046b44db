"""One page of each answer: candidates fetched as deep as it takes, ordered, and cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from likeness.types import Embeddings
from likeness.vectors.idset import IdSet
from likeness.vectors.index import Neighbours
from search.clock import Clock
from search.cursor import Cursor, check_cursor, read_cursor, seal, write_cursor
from search.ranking import Order, Part, order
from search.request import IdTerm, SearchRequest
from search.rerank.interface import Context
from search.scores import FalseMatchModel
from search.view import View

_FUSED_DEPTH = 100
_RANKED_DEPTH = 1000
"""Of each ranking that is fused by rank, as in Cormack et al. 2009."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An image of a page; the fields of `search.response.SearchHit`."""

    image_id: int
    score: float
    p: float | None
    ranked_by: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """hits: best first. first: rank of the first of them, from 1."""

    hits: tuple[Hit, ...]
    first: int
    next_cursor: str | None

    def without(self, dead: set[int]) -> Page:
        return replace(self, hits=tuple(hit for hit in self.hits if hit.image_id not in dead))


class Pager:
    """Answers requests with the same filter from the same views of one or several spaces.

    views: the leading space's first. queries: float32 [q, d] per space. allowed: what the filter
    left, None for all. models: per space, None where p is not wanted or not known. context_of:
    what a request's re-rankers may use.
    """

    def __init__(
        self,
        views: Sequence[View],
        queries: Sequence[Embeddings],
        allowed: IdSet | None,
        models: Sequence[FalseMatchModel | None],
        context_of: Callable[[SearchRequest], Context],
        clock: Clock,
    ) -> None:
        self._views, self._queries, self._allowed = views, queries, allowed
        self._models, self._context_of, self._clock = models, context_of, clock
        self._matched = [view.matched(allowed) for view in views]

    def pages(self, requests: Sequence[SearchRequest]) -> list[Page]:
        """The page of each request, in order; the first look at the index is one for all.

        Raises QueryError for a cursor that is not theirs, and as re-rankers do.
        """
        cursors = [self._cursor(request, row) for row, request in enumerate(requests)]
        depths = [
            self._depth(request, cursor) for request, cursor in zip(requests, cursors, strict=True)
        ]
        with self._clock.stage("recall"):
            near = self._near(slice(None), max(depths, default=1))
        return [
            self._page(request, row, cursor, depth, near)
            for row, (request, cursor, depth) in enumerate(
                zip(requests, cursors, depths, strict=True)
            )
        ]

    def _cursor(self, request: SearchRequest, row: int) -> Cursor | None:
        if request.after is None:
            return None
        cursor = read_cursor(request.after)
        check_cursor(cursor, self._question(request, row))
        return cursor

    def _question(self, request: SearchRequest, row: int) -> str:
        return seal(request, [queries[row] for queries in self._queries])

    def _depth(self, request: SearchRequest, cursor: Cursor | None) -> int:
        """Candidates to look at first: to the end of the page, and one to see whether more is."""
        depth = _start(request, cursor) + request.k + 1
        if request.rerank:
            depth = max(depth, request.candidates)
        if len(self._views) > 1:
            depth = max(depth, _RANKED_DEPTH if request.fusion == "rank" else _FUSED_DEPTH)
        return depth + len(_hidden(request))

    def _near(self, rows: slice, depth: int) -> list[Neighbours]:
        return [
            view.search(queries[rows], min(depth, len(view)), allowed=self._allowed)
            for view, queries in zip(self._views, self._queries, strict=True)
        ]

    def _page(
        self,
        request: SearchRequest,
        row: int,
        cursor: Cursor | None,
        depth: int,
        near: Sequence[Neighbours],
    ) -> Page:
        """Look deeper until the page is full or there is nothing more.

        That is needed only when images that were added since the cursor's page push its place
        down.
        """
        parts = self._parts(request, row, near, row, depth)
        start = _start(request, cursor)

        def deepen(candidates: int) -> list[Part]:
            with self._clock.stage("recall"):
                deeper = self._near(slice(row, row + 1), candidates + len(_hidden(request)))
            return self._parts(request, row, deeper, 0, candidates + len(_hidden(request)))

        while True:
            with self._clock.stage("rank"):
                answer = order(
                    request,
                    parts,
                    start + request.k + 1,
                    deepen,
                    lambda: self._context_of(request),
                    self._clock,
                )
            begin = start if cursor is None else _place_after(cursor, answer)
            end = begin + request.k
            cut = request.max_false is not None
            if len(answer) > end or cut or len(parts) > 1 or all(part.whole for part in parts):
                break
            depth *= 2
            parts = deepen(depth)
        shown = answer.only(np.arange(begin, min(end, len(answer))))
        hits = tuple(_hits(shown))
        last = None
        if hits and len(answer) > end:
            plain = answer.ranked_by is None
            last = write_cursor(
                Cursor(
                    start + len(hits),
                    hits[-1].score if plain else None,
                    hits[-1].image_id,
                    self._question(request, row),
                )
            )
        return Page(hits, start + 1, last)

    def _parts(
        self,
        request: SearchRequest,
        row: int,
        near: Sequence[Neighbours],
        place: int,
        depth: int,
    ) -> list[Part]:
        """What each space answers to the request of `row`, which is `place` in near.

        No more than `depth` of it: others of the batch may have asked for more, and an answer
        must not depend on its company.
        """
        hidden = _hidden(request)
        parts = []
        for number, (view, found) in enumerate(zip(self._views, near, strict=True)):
            ids, scores = found.row(place)
            ids, scores = ids[:depth], scores[:depth]
            whole = len(ids) >= self._matched[number]
            if hidden:
                kept = ~np.isin(ids, np.fromiter(hidden, np.int64))
                ids, scores = ids[kept], scores[kept]
            parts.append(
                Part(
                    view,
                    self._queries[number][row],
                    ids,
                    scores,
                    whole,
                    self._matched[number],
                    self._models[number] if request.by_pictures else None,
                )
            )
        return parts


def _hidden(request: SearchRequest) -> frozenset[int]:
    """Images that the request names and therefore does not ask for."""
    if request.keep_queried:
        return frozenset()
    return frozenset(term.image_id for term in request.terms if isinstance(term, IdTerm))


def _start(request: SearchRequest, cursor: Cursor | None) -> int:
    return request.offset if cursor is None else cursor.rank


def _place_after(cursor: Cursor, answer: Order) -> int:
    """Where in the answer the page after the cursor begins."""
    if cursor.score is None or answer.ranked_by is not None:
        return min(cursor.rank, len(answer))
    score = np.float32(cursor.score)
    seen = (answer.scores > score) | ((answer.scores == score) & (answer.ids <= cursor.image_id))
    return int(seen.sum())


def _hits(shown: Order) -> list[Hit]:
    chances = [None] * len(shown) if shown.chances is None else shown.chances.tolist()
    ranked = [None] * len(shown) if shown.ranked_by is None else shown.ranked_by.tolist()
    return [
        Hit(image_id, score, p, None if by is None or np.isinf(by) else by)
        for image_id, score, p, by in zip(
            shown.ids.tolist(), shown.scores.tolist(), chances, ranked, strict=True
        )
    ]
