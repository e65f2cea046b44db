"""The scan for GPUs, on torch's processor device: the same answers, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.vectors import torch_scan
from likeness.vectors.exact import ExactIndex
from likeness.vectors.halfscan import Selection
from likeness.vectors.idset import IdSet
from likeness.vectors.torch_scan import TorchScan
from tests.fakes.vectors import as_queries, unit_vectors

DIM = 24
ROWS = unit_vectors(5000, DIM, 0, groups=50)
IDS = np.arange(5000, dtype=np.int64)


@pytest.mark.parametrize("scores_per_block", [1 << 26, 5000, 1300], ids=["one", "some", "many"])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_answers_are_the_processors_to_the_bit_however_many_blocks(
    monkeypatch: pytest.MonkeyPatch, scores_per_block: int, k: int
) -> None:
    monkeypatch.setattr(torch_scan, "_SCORES_PER_BLOCK", scores_per_block)
    ours = ExactIndex(IDS, ROWS, scan=TorchScan(ROWS, device="cpu"))
    plain = ExactIndex(IDS, ROWS)
    queries = as_queries(unit_vectors(70, DIM, 1))  # more than share one pass
    for allowed in (None, IdSet(IDS[::7]), IdSet(IDS[100:105])):
        mine = ours.search(queries[:3], k, allowed=allowed)
        theirs = plain.search(queries[:3], k, allowed=allowed)
        assert mine.ids.tolist() == theirs.ids.tolist()
        assert mine.scores.tolist() == theirs.scores.tolist()
    assert ours.search(queries, 5).ids.tolist() == plain.search(queries, 5).ids.tolist()


def test_groups_lose_nothing_when_the_best_stand_side_by_side() -> None:
    rows = ROWS.copy()
    rows[256:300] = rows[7]  # one group of 128 holds most of the answer
    scan = TorchScan(rows, device="cpu")
    found, scores = scan.top(as_queries(rows[7:8]), 45, Selection(len(rows)))
    assert set(found[0].tolist()) == {7, *range(256, 300)}
    assert np.allclose(scores, 1, atol=2e-3)


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e7])
def test_scores_stray_no_further_than_the_scan_admits_whatever_the_querys_length(
    length: float,
) -> None:
    scan = TorchScan(ROWS, device="cpu")
    query = as_queries(unit_vectors(1, DIM, 2)) * np.float32(length)
    found, scores = scan.top(query, 2000, Selection(len(ROWS)))
    exact = ROWS[found[0]].astype(np.float64) @ query[0].astype(np.float64)
    assert np.abs(scores[0] - exact).max() <= scan.error(query[0])


def test_everything_above_a_radius_is_found_in_the_selection_only() -> None:
    scan = TorchScan(ROWS, device="cpu")
    query = as_queries(ROWS[:1])[0]
    chosen = Selection(len(ROWS), rows=IDS[::3])
    exact = ROWS[::3].astype(np.float64) @ query.astype(np.float64)
    found = set(scan.above(query, 0.5, chosen).tolist())
    error = scan.error(query)
    assert set(IDS[::3][exact > 0.5 + error].tolist()) <= found
    assert found <= set(IDS[::3][exact > 0.5 - error].tolist())
