"""Scores are the exact ones, and the error bound of the scan holds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from likeness.vectors.halfscan import HalfScan, Selection
from likeness.vectors.scoring import best_first, exact_scores, scan_error
from tests.fakes.vectors import as_queries, unit_vectors


def test_a_score_is_the_true_dot_product_rounded_once() -> None:
    rows, query = unit_vectors(50, 33, 0), as_queries(unit_vectors(1, 33, 1))[0]
    for row, score in zip(rows, exact_scores(query, rows), strict=True):
        true = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, query, strict=True))
        assert abs(Fraction(float(score)) - true) <= Fraction(2) ** -24


def test_a_score_does_not_depend_on_the_rows_around_it() -> None:
    rows, query = unit_vectors(9000, 17, 0), as_queries(unit_vectors(1, 17, 1))[0]
    together = exact_scores(query, rows)
    for at in (0, 1, 4095, 8191, 8192, 8999):
        assert exact_scores(query, rows[at : at + 1])[0] == together[at]
        assert exact_scores(query, rows[at:])[0] == together[at]


@pytest.mark.parametrize("dim", [1, 3, 8, 31, 192, 512, 1536])
def test_the_scan_strays_less_than_its_bound(dim: int) -> None:
    rows, queries = unit_vectors(400, dim, 0), as_queries(unit_vectors(20, dim, 1))
    found, scores = HalfScan(rows).top(queries, 400, Selection(400))
    for row, query in enumerate(queries):
        strayed = np.abs(scores[row] - exact_scores(query, rows[found[row]])).max()
        assert strayed < scan_error(query)


def test_equal_scores_are_ordered_by_id() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.9], np.float32)
    assert best_first(scores, np.array([4, 8, 2, 6]), 3).tolist() == [3, 1, 2]


def test_gathering_and_selecting_choose_the_same_rows() -> None:
    rows = unit_vectors(30_000, 16, 0)
    scan = HalfScan(rows)
    queries = as_queries(unit_vectors(5, 16, 1))
    random = np.random.default_rng(2)
    for share in (0.001, 0.05, 0.6):
        chosen = np.flatnonzero(random.random(len(rows)) < share)
        by_rows, by_bits = Selection(30_000, rows=chosen), Selection(30_000, rows=chosen)
        by_bits = Selection(30_000, bits=by_bits.bits)
        assert by_bits.count == len(chosen)
        assert by_bits.rows.tolist() == chosen.tolist()
        many, _ = scan.top(queries, 9, by_rows)  # five queries gather
        for row in range(5):
            one, _ = scan.top(queries[row : row + 1], 9, by_bits)
            assert one[0].tolist() == many[row].tolist()


def test_a_scan_holds_no_copy_of_its_rows() -> None:
    rows = unit_vectors(100, 8, 0)
    scan = HalfScan(rows)
    query = as_queries(rows[40:41]).copy()
    rows[[40, 90]] = rows[[90, 40]]  # nobody may do this; it shows whose memory is read
    assert scan.top(query, 1, Selection(100))[0][0, 0] == 90


def test_read_only_rows_can_be_scanned() -> None:
    rows = unit_vectors(100, 8, 0)
    rows.flags.writeable = False
    assert HalfScan(rows).top(as_queries(rows[40:41]), 1, Selection(100))[0][0, 0] == 40
