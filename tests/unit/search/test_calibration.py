"""Distributions are fitted when first asked for, and anew when the space has changed by a tenth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from search.calibration import Calibrations
from search.rerank.interface import unit
from search.view import View


@dataclass
class _Ids:
    ids: np.ndarray


class FakeView:
    """As much of a view as a fit looks at; counts the looks."""

    def __init__(self, n: int) -> None:
        self.base, self.tail = _Ids(np.arange(n)), _Ids(np.array([], dtype=np.int64))
        self.looks = 0

    def __len__(self) -> int:
        return len(self.base.ids)

    def vectors(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.looks += 1
        rows = [np.random.default_rng(i).standard_normal(16) for i in ids.tolist()]
        return ids, unit(np.array(rows).reshape(-1, 16)).astype(np.float16)


def view(n: int) -> View:
    return cast(View, FakeView(n))


def looks(of: View) -> int:
    return cast(FakeView, of).looks


def test_a_fit_is_kept_until_the_space_has_changed_by_a_tenth() -> None:
    calibrations = Calibrations()
    first, grown, larger, shrunk = view(100), view(109), view(120), view(90)
    model = calibrations.of(1, first)
    assert model is not None
    assert calibrations.of(1, grown) is model
    assert looks(grown) == 0
    assert calibrations.of(1, larger) is not model
    assert looks(larger) == 1
    calibrations.of(1, shrunk)
    assert looks(shrunk) == 1


def test_each_space_has_its_own_and_a_small_one_none() -> None:
    calibrations = Calibrations()
    assert calibrations.of(1, view(60)) is not calibrations.of(2, view(60))
    assert calibrations.of(3, view(10)) is None
    assert calibrations.of(4, view(0)) is None
    assert calibrations.of(3, view(60)) is not None, "once it has grown"
