"""The machine's cores, shared out among the searches that run at once.

FAISS starts a team of threads for every call. Left alone, ten queries on two cores are twenty
threads that wait for each other; here a search gets the cores that are free, one at least, and
waits when there is none.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from likeness.vectors.engine import load_faiss

_NICE = 10
"""Of background threads, and of those that FAISS starts for them: whoever waits goes first."""

_background = threading.local()


class Cores:
    """Hands out up to `total` cores. Thread-safe; first come, first served by the lock."""

    def __init__(self, total: int) -> None:
        self.total = max(1, total)
        self._free = self.total
        self._change = threading.Condition()

    @contextlib.contextmanager
    def some(self, wanted: int) -> Iterator[int]:
        """Hold up to `wanted` cores, at least one, for a block that FAISS works in.

        A thread that is `in_background` holds none, and works on half of them at most.
        """
        if getattr(_background, "here", False):
            got = max(1, min(wanted, self.total // 2))
            load_faiss().omp_set_num_threads(got)
            yield got
            return
        with self._change:
            while not self._free:
                self._change.wait()
            got = max(1, min(wanted, self._free))
            self._free -= got
        try:
            load_faiss().omp_set_num_threads(got)  # of this thread only
            yield got
        finally:
            with self._change:
                self._free += got
                self._change.notify()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """FAISS works alone in the block: many small steps are slower when threads wait at each."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextlib.contextmanager
def in_background() -> Iterator[None]:
    """What this thread does in the block takes no core from searches that somebody waits for.

    The thread's priority stays low afterwards (the system lets nobody raise it again), so this is
    for a thread that does nothing else.
    """
    if sys.platform == "linux":  # elsewhere only whole processes have a priority
        with contextlib.suppress(OSError):  # a courtesy, no more
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    _background.here = True
    try:
        yield
    finally:
        _background.here = False


_lock = threading.Lock()
_cores: list[Cores] = []
_helpers: list[ThreadPoolExecutor] = []


def helpers() -> ThreadPoolExecutor | None:
    """Threads that take parts of one search, for whoever holds more than one core.

    None in the background: they have the priority of those who wait.
    """
    if getattr(_background, "here", False):
        return None
    with _lock:
        if not _helpers:
            _helpers.append(ThreadPoolExecutor(os.cpu_count() or 1, "likeness-search"))
        return _helpers[0]


def _forked() -> None:
    """A forked process has the pool but not its threads."""
    _helpers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def cores() -> Cores:
    """The one pool of this process: as many as OpenMP would use, until `limit_cores`."""
    with _lock:
        if not _cores:
            _cores.append(Cores(load_faiss().omp_get_max_threads()))
        return _cores[0]


def limit_cores(total: int) -> None:
    """Searches of this process use that many cores from now on, all together."""
    with _lock:
        _cores[:] = [Cores(total)]
