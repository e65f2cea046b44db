"""Named periods of time: `2019`, `2019-06`, `2019-06-01`, `2019-06-01T12:30`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_SPELLING = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2}))?)?)?)?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A year, month, day, hour, minute or second, as far as it is spelt out."""

    year: int
    month: int | None = None
    day: int | None = None
    hour: int | None = None
    minute: int | None = None
    second: int | None = None

    @classmethod
    def parse(cls, text: str) -> Moment:
        """Raises ValueError with the reason."""
        match = _SPELLING.fullmatch(text)
        if match is None:
            raise ValueError("it is not spelt 2019, 2019-06, 2019-06-01 or 2019-06-01T12:30")
        moment = cls(*(None if part is None else int(part) for part in match.groups()))  # type: ignore[arg-type]
        moment.start()
        return moment

    def start(self) -> datetime:
        """Return its first moment. Raises ValueError when there is no such day."""
        return datetime(
            self.year,
            self.month or (1 if self.month is None else 0),
            self.day or (1 if self.day is None else 0),
            self.hour or 0,
            self.minute or 0,
            self.second or 0,
        )

    def end(self) -> datetime | None:
        """Return the first moment after it; None when that is beyond the year 9999."""
        start = self.start()
        try:
            if self.month is None:
                return start.replace(year=self.year + 1)
            if self.day is None:
                return (start.replace(day=28) + timedelta(days=4)).replace(day=1)
            if self.hour is None:
                return start + timedelta(days=1)
            if self.minute is None:
                return start + timedelta(hours=1)
            return start + (timedelta(minutes=1) if self.second is None else timedelta(seconds=1))
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        text = f"{self.year:04}"
        parts = (self.month, self.day, self.hour, self.minute, self.second)
        for mark, part in zip("--T::", parts, strict=True):
            if part is None:
                break
            text += f"{mark}{part:02}"
        return text
