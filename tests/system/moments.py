"""The random moments at which processes are killed, the same ones on every run.

LIKENESS_TEST_KILLS=300 for as many as that, over all tests that kill; 100-200 for a part of them.
"""

from __future__ import annotations

import os
import random
from enum import StrEnum

SEED = 20_261_124
_FEW = "14"


class Killed(StrEnum):
    """What is killed at a moment."""

    WORKER = "worker"
    PUBLISHER = "publisher"
    API = "api"


_TURNS = (*[Killed.WORKER] * 3, Killed.PUBLISHER, *[Killed.WORKER] * 2, Killed.API)


def moments(killed: Killed) -> list[tuple[int, random.Random]]:
    """The numbers of this run's moments at which that is killed, each with its own chance."""
    first, _, last = os.environ.get("LIKENESS_TEST_KILLS", _FEW).rpartition("-")
    return [
        (number, random.Random(SEED + number))
        for number in range(int(first or 0), int(last))
        if _TURNS[number % len(_TURNS)] is killed
    ]
