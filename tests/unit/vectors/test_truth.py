"""The truth that recall is measured by is that of the exact scan, whatever the masks."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.vectors import truth
from likeness.vectors.exact import ExactIndex
from likeness.vectors.idset import IdSet
from tests.fakes.vectors import as_queries, sparse_ids, unit_vectors


@pytest.mark.parametrize("n", [1, 40, 3000])
def test_all_at_once_gives_what_one_after_the_other_does(
    monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr(truth, "_BLOCK_ROWS", 500)
    vectors, ids = unit_vectors(n, 12, 1, groups=20), sparse_ids(n, 2)
    vectors[n // 2 :] = vectors[: n - n // 2]  # every score twice
    queries = as_queries(unit_vectors(9, 12, 3))
    random = np.random.default_rng(4)
    masks = [None, *(random.random(n) < share for share in (0.5, 0.01, 0.0))]
    exact = ExactIndex(ids, vectors)
    for mask, found in zip(
        masks, truth.nearest_under(ids, vectors, queries, 30, masks), strict=True
    ):
        allowed = None if mask is None else IdSet(ids[mask])
        known = exact.search(queries, 30, allowed=allowed)
        assert found.scores.tolist() == known.scores.tolist()
        clear = found.scores > found.scores[:, -1:]  # ties at the very end may be cut either way
        assert found.ids[clear].tolist() == known.ids[clear].tolist()
