"""Manners towards other people's servers: not too often, and again later when they are busy."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from likeness.errors import UnreadableSource

T = TypeVar("T")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_BURST_S = 1.0
"""A host that was left alone may be asked this many seconds' worth of requests at once."""


class PassingTrouble(UnreadableSource):
    """A server is busy or a connection broke: asking again may help.

    after_s: what the server asks to wait, when it says so.
    """

    def __init__(self, name: str, reason: str, *, after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(name, reason)


class HostRates:
    """A token bucket per host: `take` returns when the next request may be sent. Thread-safe.

    rate: requests per second to one host; 0: no limit.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._capacity = max(1.0, rate * _BURST_S)
        self._buckets: dict[str, tuple[float, float]] = {}  # host → tokens, as of when
        self._lock = threading.Lock()

    def take(self, host: str) -> None:
        """Wait for this caller's turn; callers of one host are served at the rate, in order."""
        if self._rate <= 0:
            return
        with self._lock:
            now = self._clock()
            tokens, since = self._buckets.get(host, (self._capacity, now))
            tokens = min(self._capacity, tokens + (now - since) * self._rate) - 1.0
            # Below zero: the token is on loan, and this caller waits until it has been earned.
            self._buckets[host] = (tokens, now)
        if tokens < 0:
            self._sleep(-tokens / self._rate)


@functools.cache
def rates_of(kind: str, rate: float) -> HostRates:
    """The buckets of this process: two sources on one host share its rate. kind: web, store."""
    del kind
    return HostRates(rate)


def patiently(
    ask: Callable[[], T],
    *,
    retries: int,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> T:
    """What `ask` returns; asked again after PassingTrouble, up to `retries` times.

    Pauses double from half a second to half a minute, less a random half of each, so that many
    callers do not come back together; a server that names a time gets it, up to a minute.
    """
    for attempt in range(retries + 1):
        try:
            return ask()
        except PassingTrouble as trouble:
            if attempt == retries:
                raise
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt) * (1 - 0.5 * chance())
            if trouble.after_s is not None:
                pause = max(pause, min(trouble.after_s, 2 * _LONGEST_PAUSE_S))
            sleep(pause)
    raise AssertionError("unreachable")
