"""The leases of one worker process, renewed by a thread of their own while work goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum

from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.work import Work
from likeness.errors import LikenessError

log = logging.getLogger(__name__)

_LOOK_S = 0.2


class Why(StrEnum):
    """Why work in hand should stop."""

    LOST = "lost"
    CANCELLED = "cancelled"
    STOPPING = "stopping"
    LATE = "late"


class Held:
    """A piece in hand. stop: set when it should not go on; why: for which reason."""

    def __init__(self, work: Work, until: float | None, lease_s: float = 0.0) -> None:
        """lease_s: how long each renewal lasts; 0: as long as usual."""
        self.work, self.until, self.lease_s = work, until, lease_s
        self.stop = threading.Event()
        self.why: Why | None = None

    def halt(self, why: Why) -> None:
        """Ask for an end; the first reason stands, except that a lost lease is the last word."""
        if self.why is None or why is Why.LOST:
            self.why = why
        self.stop.set()


class Leases:
    """Renewed three times within the time that they last. Thread-safe. Start it, and close it."""

    def __init__(
        self, ledger: Callable[[], Ledger], owner: str, lease_s: float, stopping: threading.Event
    ) -> None:
        """ledger: opened at the first renewal. stopping: no work is to go on for long."""
        self._ledger, self._owner, self._lease_s = ledger, owner, lease_s
        self._stopping = stopping
        self._held: dict[int, Held] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def hold(self, work: Work, *, for_s: float | None = None, lease_s: float | None = None) -> Held:
        """The lease is renewed from now on. for_s: after this long it should hand itself back.
        lease_s: what each renewal lasts, where that is not what all others do."""
        until = None if for_s is None else time.monotonic() + for_s
        held = Held(work, until, lease_s or self._lease_s)
        with self._lock:
            self._held[work.id] = held
        return held

    def release(self, work: Work) -> None:
        """The lease is not renewed any more: the work is done, or somebody else's."""
        with self._lock:
            self._held.pop(work.id, None)

    def _run(self) -> None:
        renewed = time.monotonic()
        while not self._closed.wait(_LOOK_S):
            now = time.monotonic()
            for held in self._all():
                if self._stopping.is_set():
                    held.halt(Why.STOPPING)
                elif held.until is not None and now > held.until:
                    held.halt(Why.LATE)
            if now - renewed < self._lease_s / 3:
                continue
            renewed = now
            try:
                self._renew()
            except LikenessError as error:
                log.warning("leases could not be renewed, trying again: %s", error)
            except Exception:  # a thread's edge: without it, work would be done twice
                log.exception("leases could not be renewed, trying again")

    def _renew(self) -> None:
        held = self._all()
        for lease_s in {one.lease_s for one in held}:
            alike = [one for one in held if one.lease_s == lease_s]
            renewed = self._ledger().renew(self._owner, [one.work for one in alike], lease_s)
            for one in alike:
                if one.work.id in renewed.stopped:
                    one.halt(Why.CANCELLED)
                elif one.work.id not in renewed.held and one.work.id in self._held:
                    one.halt(Why.LOST)

    def _all(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())
