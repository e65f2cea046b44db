"""Local files and folders: listed in a stable order, read whole, never a pipe or a device."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from indexer.sources.interface import (
    Closing,
    ProblemKind,
    SourceItem,
    SourceLimits,
    SourceProblem,
)
from indexer.sources.patterns import ARCHIVES, Selection, extension
from indexer.sources.uris import absolute, file_uri, folder_prefix, path_from_uri, shown
from likeness.errors import ImageTooLarge, UnreadableSource

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)


def read_file(path: str, limits: SourceLimits) -> bytes:
    """The bytes of a regular file, as they were at one moment.

    Raises UnreadableSource, also when the file changed while it was read, or ImageTooLarge.
    """
    name = shown(path)
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer; the type is looked at next.
        fd = os.open(path, _READ_FLAGS)
    except (OSError, ValueError) as error:
        raise UnreadableSource(name, _reason(error)) from error
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise UnreadableSource(name, "it is not a regular file")
        if before.st_size > limits.max_bytes:
            raise too_large(name, before.st_size, limits)
        data = _read(fd, before.st_size)
        after = os.fstat(fd)
    except OSError as error:
        raise UnreadableSource(name, _reason(error)) from error
    finally:
        os.close(fd)
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not same or len(data) != before.st_size:
        raise UnreadableSource(name, "it changed while being read", "index it again later")
    return data


def too_large(name: str, size: int, limits: SourceLimits) -> ImageTooLarge:
    """The error for an image of `size` bytes, declared or counted."""
    return ImageTooLarge(
        name,
        f"it has {size / 2**20:,.0f} MiB, limit {limits.max_bytes / 2**20:,.0f} MiB",
        "raise LIKENESS_MAX_BYTES to allow it",
    )


def file_exists(uri: str) -> bool:
    """Whether the file of a `file:///…` URI is there, or cannot be told to be gone."""
    try:
        Path(path_from_uri(uri)).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


class FileSource(Closing):
    """One file that was named by itself."""

    root: str | None = None
    unreadable: tuple[str, ...] = ()

    def __init__(self, path: str | Path, limits: SourceLimits) -> None:
        self._path, self._limits = absolute(path), limits

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        try:
            facts = Path(self._path).stat()
        except OSError as error:
            uri = file_uri(self._path)
            yield SourceProblem(shown(self._path), _reason(error), ProblemKind.UNREADABLE, uri)
            return
        yield SourceItem(file_uri(self._path), shown(self._path), facts.st_size, facts.st_mtime_ns)

    def read(self, item: SourceItem) -> bytes:
        return read_file(path_from_uri(item.uri), self._limits)

    def exists(self, uri: str) -> bool:
        return file_exists(uri)


class FolderSource(Closing):
    """Every file below a folder that may be an image, folder by folder, sorted by name.

    With follow_symlinks, a linked file counts under the link's own path; a linked folder is entered
    once, unless it lies inside the root, where it is met anyway. Otherwise links are left out.
    """

    root: str | None

    def __init__(
        self,
        path: str | Path,
        selection: Selection,
        limits: SourceLimits,
        *,
        follow_symlinks: bool,
    ) -> None:
        self._path = absolute(path)
        self._selection, self._limits = selection, limits
        self._follow = follow_symlinks
        self._unreadable: list[str] = []
        self.root = folder_prefix(self._path)

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(self._unreadable)

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        self._unreadable.clear()
        entered: set[tuple[int, int]] = set()
        base = self._path.rstrip(os.sep) + os.sep
        # A stack instead of recursion: nothing limits how deep folders lie.
        stack: list[Iterator[os.DirEntry[str] | SourceProblem]] = [self._list(self._path)]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, SourceProblem):
                yield entry
            else:
                inside = entry.path[len(base) :].replace(os.sep, "/")
                found = self._look(entry, inside, entered)
                if isinstance(found, str):
                    stack.append(self._list(found))
                elif found is not None:
                    yield found

    def read(self, item: SourceItem) -> bytes:
        return read_file(path_from_uri(item.uri), self._limits)

    def exists(self, uri: str) -> bool:
        return file_exists(uri)

    def _list(self, folder: str) -> Iterator[os.DirEntry[str] | SourceProblem]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            prefix = folder_prefix(folder)
            self._unreadable.append(prefix)
            yield SourceProblem(
                shown(folder),
                f"the folder cannot be listed: {_reason(error)}",
                ProblemKind.UNREADABLE,
                prefix,
            )
            return
        yield from entries

    def _look(
        self, entry: os.DirEntry[str], inside: str, entered: set[tuple[int, int]]
    ) -> SourceItem | SourceProblem | str | None:
        """What an entry comes to: an item, a problem, the path of a folder to enter, or nothing."""
        try:
            linked = entry.is_symlink()
            if linked and not self._follow:
                return None
            facts = entry.stat()
        except FileNotFoundError:  # a dangling link, or removed since it was listed
            return None
        except OSError as error:
            return self._unreadable_entry(entry, error)
        if stat.S_ISDIR(facts.st_mode):
            if not self._selection.enters(inside):
                return None
            return entry.path if not linked or self._may_enter(entry, facts, entered) else None
        if not stat.S_ISREG(facts.st_mode) or not self._selection.takes(inside):
            return None
        if extension(entry.name) in ARCHIVES:
            return SourceProblem(
                shown(entry.path),
                "an archive inside a folder is not opened; name it as a source of its own",
                ProblemKind.SKIPPED,
            )
        return SourceItem(file_uri(entry.path), shown(entry.path), facts.st_size, facts.st_mtime_ns)

    def _may_enter(
        self, entry: os.DirEntry[str], facts: os.stat_result, entered: set[tuple[int, int]]
    ) -> bool:
        """Whether to follow a link to a folder; no loop and no second visit comes of it."""
        target, root = os.path.realpath(entry.path), os.path.realpath(self._path)
        if os.path.commonpath([target, root]) in {root, target}:  # inside the root, or above it
            return False
        identity = (facts.st_dev, facts.st_ino)
        if identity in entered:
            return False
        entered.add(identity)
        return True

    def _unreadable_entry(self, entry: os.DirEntry[str], error: OSError) -> SourceProblem:
        prefix = file_uri(entry.path)
        self._unreadable.append(prefix)
        return SourceProblem(shown(entry.path), _reason(error), ProblemKind.UNREADABLE, prefix)


def _read(fd: int, size: int) -> bytes:
    """The first `size` bytes, fewer when the file has shrunk."""
    data = os.read(fd, size)
    if len(data) == size:
        return data
    parts, total = [data], len(data)
    while total < size and (part := os.read(fd, size - total)):
        parts.append(part)
        total += len(part)
    return b"".join(parts)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
