"""Files that are on the disk when we say so, and bytes that are what they were when we read them.

FAISS's `write_index` neither fsyncs nor reports a full disk, and `read_index` answers wrongly and
in silence from a file with a flipped bit. So indexes are written and read through this file.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from likeness.errors import SnapshotDamaged, SnapshotError
from likeness.telemetry import pulse

BLOCK_BYTES = 4 << 20
"""Files are hashed in blocks of this size, so that several cores can verify one file."""

_BEHIND_BYTES = 16 << 20
"""What was written is sent to the disk in pieces of this size, and then leaves the cache: so the
last fsync has little to wait for, and a large index does not drive out what others have cached."""

_READERS = 8
"""Most blocks that are read and hashed at once: bounds the memory to 32 MiB."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a whole file looks like.

    tree_sha256: lower-case hex, SHA-256 over the SHA-256 digests of its blocks, in their order.
    """

    size: int
    tree_sha256: str

    def as_dict(self) -> dict[str, Any]:
        return {"size": self.size, "tree_sha256": self.tree_sha256}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FileFacts:
        return cls(size=int(values["size"]), tree_sha256=str(values["tree_sha256"]))


class TreeHash:
    """SHA-256 over the SHA-256 digests of blocks, fed in order."""

    def __init__(self) -> None:
        self._tree, self._block, self._room = hashlib.sha256(), hashlib.sha256(), BLOCK_BYTES

    def update(self, octets: memoryview) -> None:
        while octets.nbytes:
            part = octets[: self._room]
            self._block.update(part)
            self._room -= part.nbytes
            octets = octets[part.nbytes :]
            if not self._room:
                self._close_block()

    def hexdigest(self) -> str:
        """Of everything so far; nothing may follow."""
        if self._room < BLOCK_BYTES:
            self._close_block()
        return self._tree.hexdigest()

    def _close_block(self) -> None:
        self._tree.update(self._block.digest())
        self._block, self._room = hashlib.sha256(), BLOCK_BYTES


class DurableFile:
    """A new file that is on the disk once `finish` has returned; a context manager.

    Raises OSError where the disk is full or fails, at the write or the fsync that noticed.
    """

    def __init__(self, path: Path) -> None:
        """Create the file; it must not exist."""
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._hash = TreeHash()
        self._size, self._sent = 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, data: bytes | npt.NDArray[Any]) -> int:
        """Append bytes, or an array's bytes in C order; returns their number."""
        octets = memoryview(data) if isinstance(data, bytes) else _octets(data)
        self._hash.update(octets)
        written = octets.nbytes
        self._size += written
        while octets.nbytes:
            octets = octets[os.write(self._fd, octets[:BLOCK_BYTES]) :]
        if self._size - self._sent >= _BEHIND_BYTES:
            # Begins to write what is dirty and drops what is clean: that of the times before.
            _forget(self._fd, max(0, self._sent - 4 * _BEHIND_BYTES), self._size)
            self._sent = self._size
        return written

    def finish(self) -> FileFacts:
        """Force the bytes to the disk, make the file read-only and close it."""
        os.fchmod(self._fd, 0o444)
        os.fsync(self._fd)
        _forget(self._fd, 0, self._size)  # so that reading back asks the disk, not our own cache
        self.close()
        return FileFacts(self._size, self._hash.hexdigest())

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _forget(fd: int, start: int, stop: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, start, stop - start, os.POSIX_FADV_DONTNEED)


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable, after files or renames in it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class VerifiedFile:
    """A file's bytes, compared with its facts before anybody sees them.

    `data`: uint8 [size], read-only. In memory, later damage on the disk cannot reach it. Mapped,
    it costs no memory that the system could not take back; the file was hashed through the same
    cache pages that the mapping shows, and `intact` says whether it was written to since. Snapshot
    files are read-only and only ever unlinked, which leaves a mapping whole; a foreign program that
    cuts a mapped file short while it is searched can still end the process, as with any mapping.
    """

    def __init__(self, path: Path, facts: FileFacts, *, in_memory: bool) -> None:
        """Raises SnapshotDamaged, naming file and reason, when it is not what `facts` say."""
        self.path = path
        with _opened(path) as fd:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise SnapshotDamaged(str(path.parent), f"{path.name} is not a regular file")
            if status.st_size != facts.size:
                reason = f"{path.name} has {status.st_size} bytes where {facts.size} were written"
                raise SnapshotDamaged(str(path.parent), reason)
            self._stamp = _stamp(status)
            self._mapped = not in_memory and facts.size > 0
            held = np.empty(facts.size if not self._mapped else 0, dtype=np.uint8)
            if (
                _digest(fd, path, facts.size, held if not self._mapped else None)
                != facts.tree_sha256
            ):
                reason = f"the bytes of {path.name} are not those that were written (SHA-256)"
                raise SnapshotDamaged(str(path.parent), reason)
            if self._mapped:
                held = np.frombuffer(_mapping(fd, path, facts.size), dtype=np.uint8)
        held.flags.writeable = False
        self.data: npt.NDArray[np.uint8] = held

    def intact(self) -> bool:
        """Whether nobody wrote to the mapped file since it was verified; one system call.

        A file that was unlinked or replaced is still whole in the mapping.
        """
        if not self._mapped:
            return True
        try:
            now = _stamp(self.path.stat())
        except OSError:
            return True
        return now == self._stamp or now[:2] != self._stamp[:2]


def _octets(array: npt.NDArray[Any]) -> memoryview:
    """An array's bytes in C order, in place where it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _mapping(fd: int, path: Path, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be mapped: {error.strerror}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Any:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SnapshotDamaged(str(path.parent), f"{path.name} is missing") from error
    except OSError as error:
        raise SnapshotDamaged(str(path.parent), f"{path.name}: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _digest(fd: int, path: Path, size: int, into: npt.NDArray[np.uint8] | None) -> str:
    """Tree hash of the open file, whose bytes are kept in `into` when that is given."""
    scratch = threading.local()

    def block_digest(at: int) -> bytes:
        stop = min(size, at + BLOCK_BYTES)
        if into is not None:
            room = _octets(into[at:stop])
        else:
            if not hasattr(scratch, "room"):
                scratch.room = _octets(np.empty(min(size, BLOCK_BYTES), dtype=np.uint8))
            room = scratch.room[: stop - at]
        filled = 0
        while filled < stop - at:
            try:
                got = os.preadv(fd, [room[filled:]], at + filled)
            except OSError as error:
                raise SnapshotDamaged(str(path.parent), f"{path.name}: {error.strerror}") from error
            pulse.beat()
            if not got:
                raise SnapshotDamaged(str(path.parent), f"{path.name} ended while it was read")
            filled += got
        return hashlib.sha256(room).digest()

    starts = range(0, size, BLOCK_BYTES)
    readers = min(_READERS, len(os.sched_getaffinity(0)), len(starts))
    tree = hashlib.sha256()
    if readers < 2:
        for at in starts:
            tree.update(block_digest(at))
    else:
        with ThreadPoolExecutor(readers, "likeness-verify") as pool:
            for digest in pool.map(block_digest, starts):
                tree.update(digest)
    return tree.hexdigest()
