"""Recall is measured, tuned to, and an index that misses it gives way."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from likeness.errors import SnapshotError
from likeness.types import Embeddings
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.choice import Budget, choose
from likeness.vectors.exact import ExactIndex
from likeness.vectors.halfscan import Selection
from likeness.vectors.manifest import Manifest
from likeness.vectors.recall import Examination, quickest, tune, worst
from likeness.vectors.snapshot import open_snapshot, write_snapshot
from tests.fakes.vectors import as_queries, unit_vectors

DIM = 16
ROWS = unit_vectors(3000, DIM, 0, groups=30)
IDS = np.arange(len(ROWS), dtype=np.int64)


class Careless:
    """Proposes the best rows but for a share of them, which it never finds."""

    cells = 1
    most: int | None = None
    most_listed: int | None = None

    def __init__(self, lost_share: float) -> None:
        self._lost = np.random.default_rng(1).random(len(ROWS)) < lost_share

    def candidates(
        self, queries: Embeddings, n: int, selection: Selection, reach: float, *, gather: bool
    ) -> np.ndarray:
        scores = queries @ ROWS.astype(np.float32).T
        scores[:, self._lost] = -2
        hidden = np.ones(len(ROWS), dtype=np.bool_)
        hidden[selection.rows] = False
        scores[:, hidden] = -3
        return np.argsort(-scores, axis=1)[:, :n]


def careless(lost_share: float) -> CandidateIndex:
    return CandidateIndex(IDS, ROWS, Careless(lost_share), Knobs(refine=1, least=10, direct=0))


def test_an_index_that_loses_a_tenth_is_found_to_lose_a_tenth() -> None:
    report = Examination(IDS, ROWS, sample=100).ask(careless(0.1))
    assert set(report) == {"image"}
    assert set(report["image"]) == {"all", "filter_10%", "filter_1%"}
    assert report["image"]["all"]["@10"] == pytest.approx(0.9, abs=0.03)
    assert report["image"]["all"]["@100"] == pytest.approx(0.9, abs=0.03)


def test_words_are_examined_beside_images_when_there_are_any() -> None:
    words = as_queries(unit_vectors(7, DIM, 3))
    examination = Examination(IDS, ROWS, lambda: words, sample=50)
    assert examination.asked == {"image": 50, "text": 7}
    assert worst(examination.ask(careless(0.0))) == 1.0
    assert set(examination.ask(careless(0.3))) == {"image", "text"}


def test_the_image_asked_with_does_not_count_as_found() -> None:
    """With every row lost but the query's own, nothing is found."""
    examination = Examination(IDS, ROWS, sample=20)
    alone = CandidateIndex(IDS, ROWS, Careless(0.999), Knobs(refine=1, least=10, direct=0))
    assert examination.ask(alone)["image"]["all"]["@10"] < 0.1


def test_tuning_stops_at_the_least_effort_that_reaches_the_target(tmp_path: Path) -> None:
    manifest = written(tmp_path / "s", "ivf")
    index = open_snapshot(tmp_path / "s").index
    assert isinstance(index, CandidateIndex)
    examination = Examination(IDS, ROWS)
    easy, _ = tune(index, examination, target=0.5)
    hard, reached = tune(index, examination, target=0.98)
    assert easy.reach <= hard.reach
    assert worst(reached) >= 0.98
    assert manifest.recall["found"]["image"]["all"]["@10"] >= 0.98
    assert manifest.recall["target"] == 0.98
    assert manifest.options["reach"] == index.knobs.reach == hard.reach
    assert (index.knobs.least, index.knobs.refine) == (hard.least, hard.refine)


def test_few_allowed_images_are_compared_directly_as_far_as_that_was_quicker() -> None:
    class Slow(Careless):
        def candidates(
            self, queries: Embeddings, n: int, selection: Selection, reach: float, *, gather: bool
        ) -> np.ndarray:
            time.sleep(0.05)
            return super().candidates(queries, n, selection, reach, gather=gather)

    slow = CandidateIndex(IDS, ROWS, Slow(0.0), Knobs(refine=1, least=10, direct=0))
    assert quickest(slow).knobs.direct == 2048  # the largest tried: of 4096 there are not enough


def test_codes_are_put_side_by_side_as_far_as_that_was_quicker() -> None:
    class QuickWhenGathered(Careless):
        def candidates(
            self, queries: Embeddings, n: int, selection: Selection, reach: float, *, gather: bool
        ) -> np.ndarray:
            quick = gather and selection.count <= 1024
            time.sleep(0 if quick else 0.06 if gather else 0.03)
            return super().candidates(queries, n, selection, reach, gather=gather)

    index = CandidateIndex(IDS, ROWS, QuickWhenGathered(0.0), Knobs(refine=1, least=10, direct=0))
    assert quickest(index).knobs.gather == 1024


def test_cells_are_visited_until_the_true_neighbours_lie_in_them(tmp_path: Path) -> None:
    """As far as `reach_until` says is enough for each neighbour, and a little less is not."""
    written(tmp_path / "s", "ivf")
    index = open_snapshot(tmp_path / "s").index
    assert isinstance(index, CandidateIndex)
    queries = 3 * as_queries(unit_vectors(5, DIM, 9))  # the length of a query is of no effect
    truth = index.exact.search(queries, 10).ids
    until = index.reach_until(queries, np.concatenate([truth, np.full((5, 1), -1)], axis=1))
    assert (until[:, 10] == 0).all()
    assert until[:, :10].min() >= 0
    assert until[:, :10].max() > 0.01
    for at, query in enumerate(queries):
        for image_id, least in zip(truth[at], until[at], strict=False):
            for reach, expected in ((float(least) + 1e-5, True), (float(least) - 1e-5, False)):
                if reach >= 0:
                    visited = index.with_knobs(Knobs(reach=reach, direct=0))
                    proposed = visited.proposed(query[None], 10, len(IDS), None)
                    assert proposed is not None
                    assert (image_id in proposed) is expected


def test_images_are_found_by_themselves_where_their_nearest_need_no_reach() -> None:
    """Half of them are in a cell that is not their nearest, as placing them by parts may do."""

    class Misplaced(Careless):
        cells = 4

        def reach_until(self, queries: Embeddings, rows: np.ndarray) -> np.ndarray:
            itself = (queries[:, None] == ROWS[np.maximum(rows, 0)]).all(axis=2) & (rows >= 0)
            return np.where(itself & (rows % 2 == 0), np.float32(0.3), np.float32(0))

    index = CandidateIndex(IDS, ROWS, Misplaced(0.0), Knobs(refine=1, least=10, direct=0))
    knobs, _ = tune(index, Examination(IDS, ROWS))
    assert knobs.reach == pytest.approx(0.3)


def test_the_reach_grows_along_a_line_through_what_was_measured() -> None:
    knobs = Knobs(reach=0.1, reach_tenth=0.2, reach_hundredth=0.25, deeper=0.05)
    measured = {1.0: 0.1, 0.1: 0.2, 0.01: 0.25, 0.001: 0.3, 0.1**0.5: 0.15}
    for share, reach in measured.items():
        assert knobs.reach_for(share, 10) == pytest.approx(reach)
        assert knobs.reach_for(share, 5) == pytest.approx(reach)
        assert knobs.reach_for(share, 100) == pytest.approx(reach + 0.05)


def written(target: Path, kind: str, budget: Budget | None = None) -> Manifest:
    return write_snapshot(
        target,
        [(IDS, ROWS)],
        fingerprint="f",
        dim=DIM,
        revision=1,
        digest="d",
        kind=kind,
        budget=budget or Budget(),
    )


def test_a_kind_that_cannot_reach_the_target_gives_way_until_one_can(tmp_path: Path) -> None:
    manifest = written(tmp_path / "s", "ivf", Budget(recall=1.01))  # no index that is not exact
    assert manifest.kind == "exact"
    assert "compressed-long reached a recall of" in manifest.options["chosen"]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "ids.i64",
        "manifest.json",
        "vectors.f16",
    ]
    assert isinstance(open_snapshot(tmp_path / "s").index, ExactIndex)


def test_vectors_without_leading_directions_get_longer_codes(tmp_path: Path) -> None:
    """Of a thousand directions none says more than another."""
    rows, ids = unit_vectors(6000, 1024, 4), np.arange(6000)
    for target, expected in ((0.9, "compressed"), (0.97, "compressed-long")):
        manifest = write_snapshot(
            tmp_path / expected,
            [(ids, rows)],
            fingerprint="f",
            dim=1024,
            revision=1,
            digest="d",
            kind="compressed",
            budget=Budget(recall=target),
        )
        assert manifest.kind == expected
        found = open_snapshot(tmp_path / expected).index
        assert isinstance(found, CandidateIndex)
        assert worst(Examination(ids, rows).ask(found)) >= target


def test_the_kind_follows_from_what_the_scan_costs_here() -> None:
    assert choose("auto", ROWS, Budget()).kind == "exact"
    assert choose("auto", ROWS, Budget(latency_ms=1e-6)).kind == "ivf"
    assert choose("auto", ROWS, Budget(memory_bytes=1000)).kind == "compressed"
    assert choose("compressed", ROWS, Budget()).reason == "asked for"
    assert choose("auto", ROWS[:0], Budget()).kind == "exact"
    with pytest.raises(SnapshotError, match="kinds: auto, exact, compressed"):
        choose("magic", ROWS, Budget())


@pytest.mark.parametrize("kind", ["compressed", "ivf"])
@pytest.mark.parametrize("n", [0, 1, 50, 255])
def test_an_approximate_kind_of_very_few_images_is_exact(tmp_path: Path, kind: str, n: int) -> None:
    write_snapshot(
        tmp_path / "s",
        [(IDS[:n], ROWS[:n])],
        fingerprint="f",
        dim=DIM,
        revision=1,
        digest="d",
        kind=kind,
    )
    assert isinstance(open_snapshot(tmp_path / "s").index, ExactIndex)
