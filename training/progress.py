"""Progress of a long run: averaged losses, rate, time left; one line on the terminal, one in
`log.jsonl`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Report = Callable[[str], None]


class Progress:
    """Averages what it is told between two lines. every_s: seconds between lines."""

    def __init__(self, log: Path, report: Report, every_s: float = 20.0) -> None:
        self._log, self._report, self._every_s = log, report, every_s
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._photos = 0
        self._since = time.monotonic()

    def add(self, photos: int, values: Mapping[str, float]) -> None:
        """One step over `photos` photos gave these values."""
        self._photos += photos
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def due(self) -> bool:
        return time.monotonic() - self._since >= self._every_s

    def line(self, step: int, share: float, seconds: float) -> None:
        """Report the means since the last line. share: of the schedule, done in `seconds`."""
        passed = max(time.monotonic() - self._since, 1e-9)
        means = {name: self._sums[name] / self._counts[name] for name in self._sums}
        rate = self._photos / passed
        left = seconds * (1 - share) / share if share > 0 else float("nan")
        shown = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        self._report(
            f"{share:6.1%} step {step}  {rate:.0f} photos/s  {left / 60:.0f} min left  {shown}"
        )
        self.write({"step": step, "seconds": round(seconds, 1), "photos_per_s": rate} | means)
        self._sums, self._counts, self._photos = {}, {}, 0
        self._since = time.monotonic()

    def write(self, record: Mapping[str, object]) -> None:
        """Append a record to the log."""
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
