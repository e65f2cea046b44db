"""Keeping indexes short-tailed while images come and go, in a thread that nobody waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from indexer.publish import Published
from likeness.catalog.records import Space
from likeness.errors import LikenessError
from likeness.vectors.cores import in_background

log = logging.getLogger(__name__)

REST_FACTOR = 5.0
"""Rest this many times as long as the last compaction worked: it takes a sixth of the time."""


class Compactor:
    """Publishes the spaces that are due, again and again, until it is closed. A context manager.

    Readers keep what they have until they have opened the new index, and building takes no core
    that a search of this process holds or waits for, so no query waits. Killed at any moment, the
    index before serves on and the next publish sweeps what was left. Memory: what `publish` needs
    for one space, since one is built at a time.
    """

    def __init__(
        self,
        spaces: Callable[[], Iterable[Space]],
        due: Callable[[Space], bool],
        publish: Callable[[Space], Published],
        *,
        interval_s: float = 5.0,
        rest_factor: float = REST_FACTOR,
    ) -> None:
        """spaces: those to look after, asked each time. interval_s: between looks."""
        self._spaces, self._due, self._publish = spaces, due, publish
        self._interval_s, self._rest_factor = interval_s, rest_factor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="likeness-compactor", daemon=True)
        self.published: list[Published] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begin; for those who cannot enter a block."""
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more, and wait for the index that is being built."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        with in_background():
            while not self._stop.wait(self._interval_s):
                begun = time.monotonic()
                self._look()
                self._stop.wait(self._rest_factor * (time.monotonic() - begun))

    def _look(self) -> None:
        try:
            for space in self._spaces():
                if self._stop.is_set():
                    return
                if self._due(space):
                    self.published.append(self._publish(space))
        except LikenessError:
            # A full disk, a locked catalog: answers stay right, only slower; looked at again.
            log.exception("an index could not be renewed; trying again")
        except Exception:  # a thread's edge: a compactor that died would be missed by nobody
            log.exception("an index could not be renewed, which should not happen; trying again")
