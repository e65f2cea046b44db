"""What an indexing run has done so far, and what it reports at the end."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, field, fields, replace


@dataclass(frozen=True, slots=True)
class Counts:
    """Images by what became of them in one run.

    scanned: found in the sources. kept: unchanged since an earlier run. stored: embedded anew.
    linked: same bytes as a stored image, so not embedded again. moved: known under another name.
    removed: taken out by a person earlier, and left out. skipped: kept out as repeating another.
    filled: embedded in a further space. gone: vanished from their source. problems: source
    entries that are no images of the catalog (an unreadable folder, a nested archive).
    """

    scanned: int = 0
    kept: int = 0
    stored: int = 0
    linked: int = 0
    moved: int = 0
    filled: int = 0
    removed: int = 0
    skipped: int = 0
    failed: int = 0
    gone: int = 0
    problems: int = 0

    @property
    def settled(self) -> int:
        """Images of this run that are done with, one way or another."""
        done = self.kept + self.stored + self.linked + self.moved + self.filled
        return done + self.removed + self.skipped + self.failed


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong and did not stop the run."""

    name: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image kept out: path repeats the image of this id, which lies at `same_as`.

    relation: `same-bytes` or `same-pixels`.
    """

    path: str
    relation: str
    image_id: int
    same_as: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The end of a run. complete: False when it was stopped before the sources were exhausted."""

    collection: str
    encoders: tuple[str, ...]
    counts: Counts
    seconds: float
    complete: bool
    published: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


_KEPT_PROBLEMS = 1000
_KEPT_SKIPPED = 100_000


@dataclass(slots=True)
class Progress:
    """Counts that several threads add to and a display reads. scan_done: the total is final."""

    scan_done: bool = False
    total_hint: int | None = None
    notices: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _counts: Counts = field(default_factory=Counts)
    _problems: list[Problem] = field(default_factory=list)
    _skipped: list[Skipped] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **more: int) -> None:
        """Add to the named counts."""
        with self._lock:
            self._counts = replace(
                self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()}
            )

    def problem(self, name: str, code: str, reason: str, *, counted_as: str) -> None:
        """Count and remember a problem; the first thousand are kept word for word."""
        self.add(**{counted_as: 1})
        with self._lock:
            if len(self._problems) < _KEPT_PROBLEMS:
                self._problems.append(Problem(name, code, reason))

    def list_skipped(self, skipped: Skipped) -> None:
        """Remember an image that was counted as skipped; up to a hundred thousand are listed."""
        with self._lock:
            if len(self._skipped) < _KEPT_SKIPPED:
                self._skipped.append(skipped)

    @property
    def counts(self) -> Counts:
        with self._lock:
            return self._counts

    @property
    def problems(self) -> tuple[Problem, ...]:
        with self._lock:
            return tuple(self._problems)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        with self._lock:
            return tuple(self._skipped)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


COUNT_NAMES: tuple[str, ...] = tuple(f.name for f in fields(Counts))
