"""What is refused at the door."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.errors import VectorError
from likeness.vectors.validate import check_ids, check_queries, check_vectors
from tests.fakes.vectors import unit_vectors


def test_unit_vectors_pass_unchanged() -> None:
    rows = unit_vectors(10, 8, 0)
    assert (check_vectors(rows, 8) == rows).all()


def test_float32_is_rounded_to_float16() -> None:
    rows = unit_vectors(10, 8, 0).astype(np.float32)
    assert check_vectors(rows, 8).dtype == np.float16


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "nan"), (np.inf, "inf"), (2.0, "norm 2"), (0.0, "norm 0")],
)
def test_a_row_that_would_spoil_its_neighbours_is_named(value: float, said: str) -> None:
    rows = np.zeros((20_000, 4), np.float16)
    rows[:, 1] = 1
    rows[12_345, 1] = value
    with pytest.raises(VectorError, match=rf"row 12345 \(image 77\) has norm {said}|{said}"):
        check_vectors(rows, 4, np.full(20_000, 77))


@pytest.mark.parametrize(
    "rows",
    [np.ones((2, 5), np.float16), np.ones(4, np.float16), np.ones((2, 4), np.float64)],
    ids=["wrong dimension", "one axis", "float64"],
)
def test_a_wrong_shape_or_dtype_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(VectorError):
        check_vectors(rows, 4)


def test_an_infinite_query_is_refused() -> None:
    with pytest.raises(VectorError, match="NaN or infinity"):
        check_queries(np.array([[np.inf, 0.0]], np.float32), 2)


@pytest.mark.parametrize("ids", [[1, 1], [3, 2, 3], [-1, 2], [1.5, 2.0]])
def test_ids_that_are_not_ids_are_refused(ids: list[float]) -> None:
    with pytest.raises(VectorError):
        check_ids(np.array(ids), len(ids))


def test_ids_in_any_order_pass() -> None:
    assert check_ids(np.array([5, 2, 9]), 3).tolist() == [5, 2, 9]
