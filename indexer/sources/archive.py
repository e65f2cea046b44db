"""An archive's bytes, wherever they lie: as a stream, and at any place."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from indexer.sources.uris import absolute, file_uri, shown
from likeness.errors import SourceError


class Archive(Protocol):
    """uri: of the archive itself. path: for people. size: bytes. mtime_ns: changes when it does.

    passing: bytes that a scan passes are worth keeping, because getting them again is dear.
    """

    uri: str
    path: str
    size: int
    mtime_ns: int | None
    passing: bool

    def open(self) -> IO[bytes]:
        """A new stream from the first byte; it can be moved anywhere. Raises OSError."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from there. Thread-safe. Raises OSError, ImageError."""

    def changed(self) -> bool:
        """Whether it is known to be another than when it was opened."""

    def close(self) -> None:
        """Give back what is open."""


class LocalArchive:
    """A file of this machine."""

    passing = False

    def __init__(self, path: str | Path) -> None:
        self._file = absolute(path)
        self.uri, self.path = file_uri(self._file), shown(self._file)
        try:
            self._fd = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(self.path, f"it cannot be read: {error.strerror}") from error
        self._before = os.fstat(self._fd)
        self.size = self._before.st_size
        self.mtime_ns: int | None = self._before.st_mtime_ns

    def open(self) -> IO[bytes]:
        return Path(self._file).open("rb")

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def changed(self) -> bool:
        after = os.fstat(self._fd)
        return (after.st_size, after.st_mtime_ns) != (self.size, self.mtime_ns)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._fd)
