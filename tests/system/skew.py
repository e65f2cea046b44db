"""A process whose clock is wrong, and jumps."""

from __future__ import annotations

import importlib
import os
import threading
import time
from datetime import datetime, timedelta, tzinfo

SECONDS = "LIKENESS_TEST_SKEW"
_MODULES = (
    "likeness.catalog.serving.jobs",
    "likeness.catalog.serving.tallies",
    "likeness.catalog.serving.upkeep",
    "likeness.catalog.collections",
)
_JUMP_EVERY_S = 0.4


def skew_from_environment() -> None:
    """The clock of this process is ahead by so many seconds, then right, then behind, in turns.

    Wall clocks only: `time.time` and `datetime.now` where we use them. The monotonic clock cannot
    jump.
    """
    amount = float(os.environ.get(SECONDS, "0"))
    if not amount:
        return
    real = time.time
    offset = [amount]

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=offset[0])

    for name in _MODULES:
        module = importlib.import_module(name)
        if hasattr(module, "datetime"):
            module.datetime = Wrong
    time.time = lambda: real() + offset[0]
    time.time_ns = lambda: int((real() + offset[0]) * 1e9)

    def jump() -> None:
        while True:
            for factor in (1.0, 0.0, -1.0, 0.0):
                offset[0] = factor * amount
                time.sleep(_JUMP_EVERY_S)

    threading.Thread(target=jump, daemon=True).start()
