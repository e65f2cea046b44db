"""Batch sizes that a device had no room for, kept in a file that outlives the process.

A process that is started again does not run into the same wall. What was halved on one bad day (a
neighbour on the same GPU) grows back: it doubles for each day that passed without a refusal.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

GROWS_AFTER_S = 86_400.0


def batch_key(device: str, fingerprint: str, precision: str) -> str:
    """What a batch size holds for. device: as its driver names it; the host is added."""
    return "/".join((socket.gethostname(), device, precision, fingerprint[:16]))


class BatchMemory:
    """In a file, JSON: key → size and when. Processes may share it; it may be deleted at any time.

    Where it cannot be written, sizes are remembered by nobody, and a line in the log says so.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """clock: seconds since 1970."""
        self._path, self._clock = path, clock

    def allowed(self, key: str, wanted: int) -> int:
        """wanted, or less where that was too much not long ago; at least 1."""
        entry = self._read().get(key)
        if entry is None:
            return wanted
        days = int(max(0.0, self._clock() - entry["at"]) // GROWS_AFTER_S)
        grown: int = entry["size"] << min(days, 30)
        return max(1, min(wanted, grown))

    def too_large(self, key: str, going_on_with: int) -> None:
        """There was no room for a batch; so many at a time are tried from now on."""
        try:
            with self._alone():
                known = self._read()
                known[key] = {"size": going_on_with, "at": self._clock()}
                beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
                beside.write_text(json.dumps(known, indent=1), encoding="utf-8")
                beside.replace(self._path)
        except OSError as error:
            _log.warning("%s: the batch size is not remembered: %s", self._path, error.strerror)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _log.warning("%s cannot be read, batch sizes begin anew: %s", self._path, error)
            return {}
        return {key: entry for key, entry in _pairs(document) if _is_entry(entry)}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self._path.with_name(f".{self._path.name}.lock"), flags, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _pairs(document: object) -> list[tuple[str, Any]]:
    return list(document.items()) if isinstance(document, dict) else []


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    size, at = entry.get("size"), entry.get("at")
    return isinstance(size, int) and size >= 1 and isinstance(at, int | float)
