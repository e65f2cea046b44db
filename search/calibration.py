"""Distributions of non-matches, one per space, fitted when first asked for."""

from __future__ import annotations

import threading

import numpy as np

from search.scores import FalseMatchModel, fit_false_matches, sample_positions
from search.view import View

_GROWTH = 0.1


class Calibrations:
    """The distribution of each space, fitted anew when the space has grown or shrunk by a tenth.

    Thread-safe. A fit takes a few tenths of a second; who asks meanwhile gets the old one.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, FalseMatchModel | None]] = {}
        self._lock = threading.Lock()
        self._fitting = threading.Lock()

    def of(self, space_id: int, view: View) -> FalseMatchModel | None:
        """The distribution of a space; None while it holds too few images to have one."""
        count = len(view)
        kept = self._known(space_id)
        if kept is not None and abs(count - kept[0]) <= _GROWTH * kept[0]:
            return kept[1]
        if not self._fitting.acquire(blocking=kept is None):
            return kept[1] if kept is not None else None
        try:
            kept = self._known(space_id)
            if kept is None or abs(count - kept[0]) > _GROWTH * kept[0]:
                kept = (count, _fitted(view))
                with self._lock:
                    self._kept[space_id] = kept
            return kept[1]
        finally:
            self._fitting.release()

    def _known(self, space_id: int) -> tuple[int, FalseMatchModel | None] | None:
        with self._lock:
            return self._kept.get(space_id)


def _fitted(view: View) -> FalseMatchModel | None:
    ids = np.union1d(view.base.ids, view.tail.ids)
    _, vectors = view.vectors(ids[sample_positions(len(ids))] if len(ids) else ids)
    return fit_false_matches(vectors)
