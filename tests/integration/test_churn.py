"""A large collection changes under its queries, and every answer is that of its very moment.

20,000 images, of which 1,000 go while 1,000 come, take a few seconds; LIKENESS_TEST_CHURN=1000000
for a million, of which 10,000 go while 10,000 come.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from indexer.compaction import Compactor
from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.types import ImageFacts, Tower
from search.spaces import SpaceReader
from tests.fakes.vectors import as_queries, unit_vectors
from tests.services.catalogs import catalog, catalog_url

__all__ = ["catalog", "catalog_url"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

EXISTING = int(os.environ.get("LIKENESS_TEST_CHURN", "20000"))
CHANGED = max(1000, EXISTING // 100)
"""So many come, and so many go."""

STEPS, DIM, K, COMMITTED = 20, 64, 10, 4096
STEP = CHANGED // STEPS

_PATIENCE_S = 600.0


@dataclass
class History:
    """What the writer did, by the revision that did it; rows are numbers of images.

    ids: int64 [n], of each row once it was committed.
    """

    ids: np.ndarray
    changes: list[tuple[int, range, np.ndarray]] = field(default_factory=list)
    moved: threading.Condition = field(default_factory=threading.Condition)

    def note(self, revision: int, came: range, went: np.ndarray) -> None:
        with self.moved:
            self.changes.append((revision, came, went))
            self.moved.notify_all()

    @property
    def newest(self) -> int:
        with self.moved:
            return self.changes[-1][0]

    def until(self, revision: int) -> list[tuple[int, range, np.ndarray]]:
        """Everything up to a revision, which a reader may see before its writer has noted it."""
        with self.moved:
            assert self.moved.wait_for(lambda: self.changes[-1][0] >= revision, timeout=_PATIENCE_S)
            return [change for change in self.changes if change[0] <= revision]


class Unhurried:
    """The catalog as the compactor reads it: in the midst of every build it waits until three
    more queries have been answered, which would be for ever if they waited for it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._answered, self._over = 0, False
        self._change = threading.Condition()
        self.kept_waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def stream_vectors(self, *given: Any, **options: Any) -> Iterator[Any]:
        for batch in self._catalog.stream_vectors(*given, **options):
            with self._change:
                enough = self._answered + 3
                self.kept_waiting += not self._change.wait_for(
                    lambda enough=enough: self._over or self._answered >= enough,  # type: ignore[misc]
                    timeout=_PATIENCE_S,
                )
            yield batch

    def answered(self) -> None:
        with self._change:
            self._answered += 1
            self._change.notify_all()

    def hurry(self) -> None:
        """Nothing more is asked."""
        with self._change:
            self._over = True
            self._change.notify_all()


@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_every_answer_is_that_of_brute_force_over_what_its_moment_held(
    catalog: Catalog, tmp_path: Path, kind: str
) -> None:
    rows = unit_vectors(EXISTING + CHANGED, DIM, 0, groups=EXISTING // 50)
    space = _space(catalog)
    history = History(np.zeros(len(rows), dtype=np.int64))
    for start in range(0, EXISTING, COMMITTED):
        _commit(catalog, space, history, rows, range(start, min(EXISTING, start + COMMITTED)))
    publish(catalog, space, tmp_path / "index", kind=kind)
    reader = SpaceReader(catalog, space, tmp_path / "index")
    slow = Unhurried(catalog)
    compactor = Compactor(
        lambda: [space],
        lambda each: catalog.count_changes(each.id, _indexed(catalog, each)) != (0, 0),
        lambda each: publish(cast(Catalog, slow), each, tmp_path / "index", kind=kind),
        interval_s=0.01,
        rest_factor=0.1,
    )
    referee = Referee(rows, history)
    with _churn(catalog, space, history, rows, compactor) as writer:
        while writer.is_alive() or referee.asked < 50:
            noted = history.newest
            referee.judge(reader, exactly=kind == "exact", after=noted)
            slow.answered()
            time.sleep(0.1)  # the compactor's turn, on a machine with few cores
        while len(referee.indexes) < 2:  # the last one may be about to be opened
            referee.judge(reader, exactly=kind == "exact", wait=True)
            slow.answered()
        slow.hurry()
    referee.judge(reader, exactly=kind == "exact", wait=True)
    assert len(reader.view()) == EXISTING
    assert slow.kept_waiting == 0, "a query waited for an index that was being built"
    assert len(compactor.published) >= 2
    assert reader.notices == []
    reader.close()
    assert referee.found >= 0.95 * K * referee.asked
    print(
        f"{EXISTING} images, {CHANGED} came, {CHANGED} went: {referee.asked} queries, recall@{K} "
        f"{referee.found / K / referee.asked:.4f}, {len(compactor.published)} indexes built and "
        f"{len(referee.indexes)} served, {referee.worst_s:.3f} s for the slowest answer"
    )


class Referee:
    """Compares answers with a scan of everything that was there at their revision."""

    def __init__(self, rows: np.ndarray, history: History) -> None:
        self._rows, self._history = rows, history
        self._wide = as_queries(rows)
        self._random = np.random.default_rng(1)
        self.asked, self.found, self.worst_s = 0, 0, 0.0
        self.indexes: set[str | None] = set()

    def judge(
        self, reader: SpaceReader, *, exactly: bool, after: int = 0, wait: bool = False
    ) -> None:
        """Ask for what came last, for what went last, and for something else.

        after: the revision of what was committed before the question. wait: for a newer index.
        """
        begun = time.perf_counter()
        view = reader.view(wait=wait)
        viewed_s = 0.0 if wait else time.perf_counter() - begun
        assert view.revision >= after, "what was committed before the query is not in it"
        changes = self._history.until(view.revision)
        alive = np.zeros(len(self._rows), dtype=np.bool_)
        for _, came, went in changes:
            alive[came.start : came.stop] = True
            alive[went] = False
        last_in = next(came for _, came, _ in reversed(changes) if came)[-1]
        last_out = next((went[-1] for _, _, went in reversed(changes) if len(went)), 0)
        noise = self._random.standard_normal((3, DIM)).astype(np.float32) * np.float32(0.02)
        noise[:2] = 0
        others = [last_in, int(last_out), int(self._random.integers(EXISTING))]
        queries = self._wide[others] + noise
        begun = time.perf_counter()
        answer = view.search(queries, K)
        self.worst_s = max(self.worst_s, viewed_s + time.perf_counter() - begun)
        self.indexes.add(view.snapshot)
        for at, query in enumerate(queries):
            ids, scores = answer.row(at)
            true_ids, true_scores = self._truth(query, alive)
            assert len(ids) == K
            found = np.searchsorted(self._history.ids[: self._committed(changes)], ids)
            assert (self._history.ids[found] == ids).all(), "an image that never was is found"
            assert alive[found].all(), "an image is found that had gone, or had not come yet"
            assert scores.tolist() == _scores(self._rows[found], query).tolist()
            if exactly:
                assert ids.tolist() == true_ids.tolist()
            self.asked += 1
            self.found += int((scores >= true_scores[-1]).sum())

    def _truth(self, query: np.ndarray, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rough = self._wide @ query
        rough[~alive] = -np.inf
        near = np.argpartition(-rough, 10 * K)[: 10 * K]
        exact = _scores(self._rows[near], query)
        best = np.lexsort((near, -exact))[:K]
        return self._history.ids[near[best]], exact[best]

    @staticmethod
    def _committed(changes: list[tuple[int, range, np.ndarray]]) -> int:
        return max(came.stop for _, came, _ in changes)


def _scores(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    scores: np.ndarray = (rows.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return scores.astype(np.float32)


@contextmanager
def _churn(
    catalog: Catalog, space: Space, history: History, rows: np.ndarray, compactor: Compactor
) -> Iterator[threading.Thread]:
    """In a thread: steps of images that come, and as many that go; at a third and at two thirds
    of them it waits for one more index, so that there are changes before, while and after."""
    doomed = np.random.default_rng(2).permutation(EXISTING)[:CHANGED]
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for step in range(STEPS):
                start = EXISTING + step * STEP
                _commit(catalog, space, history, rows, range(start, start + STEP))
                went = doomed[step * STEP : (step + 1) * STEP]
                if step > 1:  # one that came two steps before goes as well, and one less of the old
                    went = np.append(went[1:], start - 2 * STEP)
                catalog.mark_gone(space.collection_id, history.ids[went].tolist())
                revision = catalog.head(space.collection_id, space.id).revision
                history.note(revision, range(0), went)
                deadline = time.monotonic() + _PATIENCE_S
                while len(compactor.published) < 3 * step // STEPS:
                    assert time.monotonic() < deadline, "nothing was compacted meanwhile"
                    time.sleep(0.01)
        except BaseException as error:
            failures.append(error)
            raise

    writer = threading.Thread(target=write, name="writer")
    with compactor:
        writer.start()
        yield writer
        writer.join()
    assert failures == []


def _commit(
    catalog: Catalog, space: Space, history: History, rows: np.ndarray, which: range
) -> None:
    items = [
        Stored(
            SourceFacts(f"file:///{at}", f"/{at}", f"{at:064x}", size=1),
            ImageFacts(8, 8, "png"),
            at - which.start,
        )
        for at in which
    ]
    batch = Batch(items, {space.id: rows[which.start : which.stop]})
    result = catalog.commit_batch(space.collection_id, batch)
    history.ids[which.start : which.stop] = result.stored
    history.note(result.revision, which, np.empty(0, dtype=np.int64))


def _space(catalog: Catalog) -> Space:
    return catalog.ensure_space(
        catalog.create_collection("default").id,
        encoder="fake:rows",
        fingerprint="f",
        dim=DIM,
        towers=frozenset({Tower.IMAGE}),
    )


def _indexed(catalog: Catalog, space: Space) -> int:
    """The revision that the current index covers."""
    current = catalog.head(space.collection_id, space.id).snapshot
    assert current is not None
    return current.revision
