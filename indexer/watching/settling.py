"""Files that are being written are waited for: nothing half-written is read.

A file is taken when its size and time have stood still for a while and it looks whole by its own
format's rules. One that never looks whole is taken all the same in the end, so that it is listed as
failed rather than forgotten.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from likeness.imaging.sniff import sniff

_HEAD_BYTES = 4096
_TAIL_BYTES = 64 << 10

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds."""


@dataclass(slots=True)
class _Waiting:
    stamp: Stamp | None
    since: float


class Settling:
    """Paths that changed, until they can be taken. Not thread-safe."""

    def __init__(
        self,
        settle_s: float,
        patience_s: float,
        *,
        whole: Callable[[Path], bool] | None = None,
    ) -> None:
        """settle_s: how long a file must stand still. patience_s: how long one is waited for that
        stands still and does not look whole."""
        self._settle_s, self._patience_s = settle_s, patience_s
        self._whole = whole or looks_whole
        self._waiting: dict[Path, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def touch(self, path: Path, now: float) -> None:
        """Something happened to a path."""
        self._waiting[path] = _Waiting(_stamp(path), now)

    def take(self, now: float) -> list[Path]:
        """The paths that can be taken now, sorted; they are not waited for any longer."""
        ready = [path for path, waiting in self._waiting.items() if self._ready(path, waiting, now)]
        for path in ready:
            del self._waiting[path]
        return sorted(ready)

    def _ready(self, path: Path, waiting: _Waiting, now: float) -> bool:
        stamp = _stamp(path)
        if stamp != waiting.stamp:
            waiting.stamp, waiting.since = stamp, now
            return False
        stood = now - waiting.since
        if stood < self._settle_s:
            return False
        return stamp is None or stood >= self._patience_s or self._whole(path)


def looks_whole(path: Path) -> bool:
    """False for an image file that surely ends too early: one that a program still writes.

    Told from its ends, without decoding. True for what cannot be told, and for folders.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read(_TAIL_BYTES)
    except IsADirectoryError:
        return True
    except OSError:
        return False
    if not size:
        return False
    found = sniff(head)
    kind = found.name if found is not None else ""
    check = _ENDS.get(kind)
    return check(head, tail, size) if check is not None else bool(kind) or any(head)


def _jpeg(head: bytes, tail: bytes, _size: int) -> bool:  # noqa: ARG001 - one form for all
    # Cameras append data of their own after the end mark, which coded pixels never contain.
    return b"\xff\xd9" in tail


def _png(head: bytes, tail: bytes, _size: int) -> bool:  # noqa: ARG001
    return b"IEND" in tail[-64:]


def _gif(head: bytes, tail: bytes, _size: int) -> bool:  # noqa: ARG001
    return tail.rstrip(b"\0").endswith(b"\x3b")


def _webp(head: bytes, tail: bytes, size: int) -> bool:  # noqa: ARG001
    return int.from_bytes(head[4:8], "little") + 8 <= size


def _bmp(head: bytes, tail: bytes, size: int) -> bool:  # noqa: ARG001
    return int.from_bytes(head[2:6], "little") <= size


_ENDS: dict[str, Callable[[bytes, bytes, int], bool]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "webp": _webp,
    "bmp": _bmp,
}


def _stamp(path: Path) -> Stamp | None:
    """None for what is not there, and for folders, whose own time says nothing."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None
