"""Whether a worker does what it is there for. Pure reckoning: what is seen goes in, a verdict out.

Health is progress, not a living process. A worker that has nothing in hand though work waits does
not take messages (Celery after a broker was gone). One that has work in hand and neither gets a
block of it done nor computes hangs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BUSY_FACTOR = 4
"""Work in hand may be silent for so many times as long as a worker without: what it waits for may
be slow (a file server, weights that are fetched), and to begin it anew costs more."""

_COMPUTES = 0.1
"""Of a core: a process that uses as much since the last look is computing. What cannot give signs
from within (training an index, a partition of a graph) shows itself by this; a process that waits
for something that never comes uses a hundredth."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was to be seen of a worker at one time.

    sign: differs from the one before when something got done (`RunDir.last_sign`). computed_s:
    CPU seconds so far of each process that has work in hand, None where that is not known.
    waiting: pieces that are due in its queues; None: not known, since the database or the broker
    cannot be reached, for which no worker is to blame.
    """

    sign: int
    computed_s: Mapping[int, float | None]
    waiting: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """idle_s: since something got done last, None before the first time. quiet_s: for so long it
    should have done something, and did not. stalled: too long."""

    idle_s: float | None
    quiet_s: float
    stalled: bool
    in_hand: bool


@dataclass(slots=True)
class Vigil:
    """stall_s: how long a worker may do nothing though it could. Times are of one steady clock."""

    stall_s: float
    _quiet_since: float = 0.0
    _looked_at: float = 0.0
    _signed_at: float | None = None
    _sign: int = 0
    _computed_s: Mapping[int, float | None] = field(default_factory=dict)

    def begin(self, now: float) -> None:
        """A new process is started: it has as much time as any."""
        self._quiet_since = self._looked_at = now
        self._computed_s = {}

    def judge(self, seen: Seen, now: float) -> Verdict:
        """What this look says, with those before it."""
        in_hand = bool(seen.computed_s)
        to_blame = seen.waiting is not None and (in_hand or seen.waiting > 0)
        if seen.sign != self._sign:
            self._sign, self._signed_at = seen.sign, now
            self._quiet_since = now
        elif not to_blame or self._computes(seen, now):
            self._quiet_since = now
        self._looked_at, self._computed_s = now, dict(seen.computed_s)
        quiet_s = now - self._quiet_since
        limit_s = self.stall_s * (BUSY_FACTOR if in_hand else 1)
        idle_s = None if self._signed_at is None else now - self._signed_at
        return Verdict(idle_s, quiet_s, quiet_s > limit_s, in_hand)

    def _computes(self, seen: Seen, now: float) -> bool:
        enough_s = _COMPUTES * (now - self._looked_at)
        for pid, computed_s in seen.computed_s.items():
            before_s = self._computed_s.get(pid)
            if computed_s is None:
                return True  # not to be seen here: the time limit alone ends what hangs
            if before_s is None or computed_s - before_s >= enough_s:
                return True
        return False
