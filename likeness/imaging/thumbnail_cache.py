"""Thumbnails: drawn anew from decoded pixels, kept on disk by the hash of the image's bytes.

Derived data: the folder can be deleted at any time.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

SIDES = (128, 256, 512, 1024)
"""Sides that are kept; a request gets the next larger one."""

_CHECK_EVERY = 500


def kept_side(side: int) -> int:
    """The smallest kept side that is at least this, or the largest there is."""
    return next((kept for kept in SIDES if kept >= side), SIDES[-1])


class ThumbnailCache:
    """WebP files under `root`, named by SHA-256 and side. Processes may share it. Thread-safe."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self._root, self._max_bytes = root, max_bytes
        self._writes = 0
        self._lock = threading.Lock()

    def get(self, sha256: str, side: int) -> bytes | None:
        """The thumbnail, or None when it is not kept."""
        with suppress(OSError):
            return self._path(sha256, side).read_bytes() or None
        return None

    def put(self, sha256: str, side: int, data: bytes) -> None:
        """The thumbnail is kept; a full disk loses it, not the answer."""
        path = self._path(sha256, side)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        with self._lock:
            self._writes += 1
            due = self._writes % _CHECK_EVERY == 0
        if due:
            self.trim()

    def trim(self) -> None:
        """The files written longest ago are gone until a tenth of the limit is free again."""
        files = []
        for path in self._root.glob("*/*"):
            with suppress(OSError):  # another process was faster
                facts = path.stat()
                files.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self._max_bytes:
            return
        for _, size, path in sorted(files, key=lambda file: file[0]):
            if total <= 0.9 * self._max_bytes:
                return
            with suppress(OSError):
                path.unlink()
            total -= size

    def _path(self, sha256: str, side: int) -> Path:
        return self._root / sha256[:2] / f"{sha256}-{side}.webp"
