"""A folder that a worker's processes share: how the supervisor asks, and sees that work goes on."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_PROGRESS, _STOP = "progress", "stop"


class RunDir:
    """Files in a folder of the supervisor's; whoever cannot write there goes on without."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def progressed(self) -> None:
        """Something got done just now."""
        with suppress(OSError):
            (self.path / _PROGRESS).touch()

    def idle_s(self) -> float:
        """Seconds since something got done last; infinite before the first time."""
        try:
            return max(0.0, time.time() - (self.path / _PROGRESS).stat().st_mtime)
        except OSError:
            return float("inf")

    def ask_to_stop(self) -> None:
        """Work in hand is to be finished, or handed back."""
        (self.path / _STOP).touch()

    def stop_asked(self) -> bool:
        return (self.path / _STOP).exists()
