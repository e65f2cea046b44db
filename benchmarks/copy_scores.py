"""Ways of finding copies compared at the same rate of false matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.record import print_table

MAX_FALSE = 0.001
BAR = ("crop-80", "mirror", "rotate-90", "rotate-15", "text", "greyscale", "jpeg-q20", "half-size")
"""Crop 80 %, mirror, rotation, text overlay, greyscale, JPEG q20, half size."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Of q queries: own float [q], to the original (-inf: lost); other float [q], the best to any
    other photo. Originals as queries have own = nan and come after the copies."""

    own: npt.NDArray[np.float64]
    other: npt.NDArray[np.float64]

    def threshold(self) -> float:
        """The lowest score at which at most MAX_FALSE of the queries have a false match."""
        allowed = int(MAX_FALSE * len(self.other))
        return float(np.nextafter(np.sort(self.other)[::-1][allowed], np.inf))


def figures_of(tables: Mapping[str, Scores], edits: Sequence[str], rows: int) -> dict[str, Any]:
    """Recall and precision of each way per edit. rows: photos edited, in the order of the edits."""
    copies = len(edits) * rows
    recall: dict[str, dict[str, float]] = {}
    precision: dict[str, dict[str, float]] = {}
    for name, scores in tables.items():
        threshold = scores.threshold()
        right = (scores.own[:copies] >= threshold).reshape(len(edits), rows)
        wrong = (scores.other[:copies] >= threshold).reshape(len(edits), rows)
        recall[name] = dict(zip(edits, right.mean(axis=1).tolist(), strict=True))
        recall[name]["mean of the bar"] = float(np.mean([recall[name][each] for each in BAR]))
        recall[name]["mean of all"] = float(right.mean())
        precision[name] = {
            edit: _precision(right[at], wrong[at]) for at, edit in enumerate(edits)
        } | {"all": _precision(right, wrong)}
    return {
        "max_false": MAX_FALSE,
        "recall": recall,
        "precision": precision,
        "thresholds": {name: scores.threshold() for name, scores in tables.items()},
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print recall and precision, and which ways are above Likeness on some edit."""
    for what in ("recall", "precision"):
        ways = figures[what]
        print_table(
            (what, *ways),
            [
                (row, *(round(way[row], 3) for way in ways.values()))
                for row in next(iter(ways.values()))
            ],
        )
        print()
    print("thresholds: " + ", ".join(f"{n} {t:.3g}" for n, t in figures["thresholds"].items()))
    recall = figures["recall"]
    ours = recall["Likeness"]
    above = [
        f"{name} on {edit} ({way[edit]:.2f} > {ours[edit]:.2f})"
        for name, way in recall.items()
        for edit in ours
        if way[edit] > ours[edit]
    ]
    print("above Likeness: " + (", ".join(above) or "none on any edit"))


def _precision(right: npt.NDArray[np.bool_], wrong: npt.NDArray[np.bool_]) -> float:
    """Of the matches above the threshold (a copy's original, its best other), those right.

    1 where there is none at all.
    """
    found = int(right.sum()) + int(wrong.sum())
    return int(right.sum()) / found if found else 1.0
