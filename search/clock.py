"""What a search spends its time on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up the milliseconds of named stages; a stage within another counts for itself only."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = {}
        self._within: list[float] = []
        """Milliseconds that inner stages took of each stage that is open."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            spent = 1000 * (time.perf_counter() - begun)
            own = spent - self._within.pop()
            self.spent_ms[name] = self.spent_ms.get(name, 0.0) + own
            if self._within:
                self._within[-1] += spent
