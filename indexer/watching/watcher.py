"""Watching a folder: a full scan first, then what the file system tells, then a scan now and then.

Events are hints: they say where to look, and what is found there decides. Whatever they miss (a
network drive, an overflow) the scans find.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import watchfiles

from indexer.sources.patterns import ARCHIVES, Selection, extension
from indexer.watching.settling import Settling
from indexer.watching.touched import covering
from likeness.errors import SourceError

_TICK_S = 0.2
_STEP_MS = 50
_MOST_PATHS = 5000
"""More changes than this at once are cheaper to find by a scan of everything."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """settle_s: a file must stand still this long. patience_s: one that does not look whole is
    waited for this long. rescan_s: between scans of everything; 0: only the first. poll: look
    again and again instead of asking the system for events, as network drives need."""

    settle_s: float = 2.0
    patience_s: float = 30.0
    rescan_s: float = 3600.0
    poll: bool = False


class Watcher:
    """Calls back with what changed in one folder, from the thread that calls `run`.

    scan: everything has to be looked at. follow: those paths have; False asks to be told of them
    again, a little later.
    """

    def __init__(
        self,
        folder: Path,
        selection: Selection,
        options: WatchOptions,
        *,
        scan: Callable[[], None],
        follow: Callable[[Sequence[Path]], bool],
        say: Callable[[str], None],
    ) -> None:
        """Raises SourceError when the folder is not there."""
        self._folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - links are kept
        self._selection, self._options = selection, options
        self._scan, self._follow, self._say = scan, follow, say
        if not self._folder.is_dir():
            raise SourceError(str(folder), "there is no such folder", "check its name")
        self._identity = self._identify()
        self._settling = Settling(options.settle_s, options.patience_s)

    @property
    def folder(self) -> Path:
        return self._folder

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises SourceError when the system cannot watch the folder."""
        while not stop.is_set():
            self._run_once(stop)

    def _run_once(self, stop: threading.Event) -> None:
        """Until `stop` is set, or the folder was away and is back: its watches went with it."""
        with _Events(self._folder, poll=self._options.poll) as events:
            self._scan()  # after events have begun: nothing falls between
            scanned = time.monotonic()
            missing = False
            while not stop.wait(_TICK_S):
                changed = events.take()
                found = self._identify()
                if found != self._identity and (found is None or self._is_empty()):
                    if not missing:
                        self._say(f"{self._folder} is not there; its images are kept, waiting")
                    missing = True
                    continue
                if missing or found != self._identity:
                    self._identity = found  # mounted again, a disk may have another number
                    self._say(f"{self._folder} is there again")
                    return
                now = time.monotonic()
                for path in changed:
                    if self._concerns(path):
                        self._settling.touch(path, now)
                due = self._options.rescan_s and now - scanned >= self._options.rescan_s
                if due or len(self._settling) > _MOST_PATHS:
                    self._settling = Settling(self._options.settle_s, self._options.patience_s)
                    self._scan()
                    scanned = time.monotonic()
                elif (ready := covering(self._settling.take(now))) and not self._follow(ready):
                    for path in ready:
                        self._settling.touch(path, now)

    def _concerns(self, path: Path) -> bool:
        """Whether an event can be about an image; a folder that went has any name."""
        if path == self._folder or self._folder not in path.parents:
            return False
        inside = path.relative_to(self._folder).as_posix()
        if path.is_dir():
            return self._selection.enters(inside)
        if extension(path.name) in ARCHIVES:
            return False
        return not path.exists() or self._selection.takes_member(inside)

    def _is_empty(self) -> bool:
        try:
            return next(self._folder.iterdir(), None) is None
        except OSError:
            return True

    def _identify(self) -> tuple[int, int] | None:
        """Which folder it is: an unmounted disk leaves an empty one of the same name."""
        try:
            facts = self._folder.stat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino


class _Events:
    """Changed paths, gathered by a thread of their own while others work. A context manager."""

    def __init__(self, folder: Path, *, poll: bool) -> None:
        self._folder, self._poll = folder, poll
        self._stop, self._begun = threading.Event(), threading.Event()
        self._found: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._listen, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._begun.wait()
        self._raise()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> list[Path]:
        """What changed since the last call, each path once."""
        self._raise()
        found: dict[Path, None] = {}
        while True:
            try:
                found[self._found.get_nowait()] = None
            except queue.Empty:
                return list(found)

    def _listen(self) -> None:
        try:
            for changes in watchfiles.watch(
                self._folder,
                watch_filter=None,
                debounce=200,
                step=_STEP_MS,
                stop_event=self._stop,
                rust_timeout=100,
                yield_on_timeout=True,
                raise_interrupt=False,
                force_polling=self._poll or None,
                ignore_permission_denied=True,
            ):
                self._begun.set()
                for _, path in changes:
                    self._found.put(Path(path))
        except BaseException as error:  # noqa: BLE001 - carried to the watcher's thread
            self._error = error
        finally:
            self._begun.set()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is None:
            return
        if self._folder.exists():
            raise SourceError(
                str(self._folder),
                f"the system cannot watch it: {error}",
                "raise fs.inotify.max_user_watches, or say --poll",
            ) from error
