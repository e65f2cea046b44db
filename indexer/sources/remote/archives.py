"""Archives that lie elsewhere: streamed in large parts, never stored here.

What is in a tar is remembered, by its URI, size and version: the next scan of the same shard costs
one question, and a single member can be fetched from its middle.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote

from indexer.sources.interface import ProblemKind, SourceItem, SourceLimits, SourceProblem
from indexer.sources.patterns import Selection
from indexer.sources.remote.stores import Entry, Store
from indexer.sources.tarred import Member, TarSource
from likeness.errors import SourceError, UnreadableSource

_EVERYTHING = Selection.of(["*"], hidden=True)

ASK_EVERY_S = 10.0
"""Between questions whether an archive that is being read is still the same."""

PART_BYTES = 8 << 20
"""Fetched at once by a stream: few requests, and little to fetch again after a broken one."""


class RemoteArchive:
    """An archive in a store; see `indexer.sources.archive.Archive`."""

    passing = True

    def __init__(self, entry: Entry, store: Store) -> None:
        """Raises UnreadableSource for a store that does not tell the size."""
        if entry.size is None:
            raise UnreadableSource(entry.path, "the server does not tell its size")
        self.uri, self.path = entry.uri, entry.path
        self.size, self.mtime_ns = entry.size, entry.version
        self._store = store
        self._changed, self._ask_at = False, time.monotonic() + ASK_EVERY_S

    def open(self) -> IO[bytes]:
        return cast(IO[bytes], io.BufferedReader(_Parts(self), PART_BYTES))

    def read_at(self, offset: int, size: int) -> bytes:
        stop = min(self.size, offset + size)
        if offset >= stop:
            return b""
        return self._store.read_range(self.uri, offset, stop)

    def changed(self) -> bool:
        """Asked of the store now and then, not for each member."""
        now = time.monotonic()
        if not self._changed and now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            try:
                found = self._store.info(self.uri)
            except (UnreadableSource, SourceError):  # it cannot be told
                return False
            known = (self.size, self.mtime_ns)
            self._changed = found is None or (found.size, found.version) != known
        return self._changed

    def close(self) -> None:
        self._store.close()


class RemoteTarSource(TarSource):
    """A tar or WebDataset shard in a store."""

    def __init__(self, archive: RemoteArchive, selection: Selection, limits: SourceLimits) -> None:
        super().__init__(archive, _EVERYTHING, limits)  # so that what is remembered suits anyone
        self._wanted = selection
        self._listing = _listing_file(archive, limits)

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        for one in self._all():
            if isinstance(one, Member):
                name = unquote(one.uri[len(self._prefix) :]).removeprefix("./")
                if not self._wanted.takes_member(name):
                    continue
            yield one

    def _all(self) -> Iterator[SourceItem | SourceProblem]:
        remembered = _load(self._listing)
        if remembered is not None:
            self._unreadable.clear()
            self._seen = {found.uri for found in remembered if isinstance(found, Member)}
            yield from remembered
            return
        self._seen = None
        found: list[SourceItem | SourceProblem] = []
        for one in super().scan():
            found.append(one)
            yield one
        if self._seen is not None and self._listing is not None:
            _save(self._listing, found)


class _Parts(io.RawIOBase):
    """A remote file as a stream that can be moved."""

    def __init__(self, archive: RemoteArchive) -> None:
        self._archive, self._position = archive, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._archive.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self._archive.read_at(self._position, len(view))
        except UnreadableSource as error:
            raise OSError(error.reason) from error
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _listing_file(archive: RemoteArchive, limits: SourceLimits) -> Path | None:
    """None when nothing is to be remembered, or when a changed archive could not be told."""
    if limits.listings is None or archive.mtime_ns is None:
        return None
    facts = repr((archive.uri, archive.size, archive.mtime_ns))
    return limits.listings / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.jsonl"


def _load(path: Path | None) -> list[SourceItem | SourceProblem] | None:
    """What was remembered; None when that is nothing, or is not whole."""
    if path is None:
        return None
    try:
        lines = path.read_text().splitlines()
        if not lines or json.loads(lines[-1]) != {"members": len(lines) - 1}:
            return None
        return [_decoded(json.loads(line)) for line in lines[:-1]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _decoded(values: dict[str, object]) -> SourceItem | SourceProblem:
    if "kind" in values:
        return SourceProblem(
            str(values["path"]), str(values["reason"]), ProblemKind(str(values["kind"]))
        )
    return Member(**values)  # type: ignore[arg-type]


def _save(path: Path, found: list[SourceItem | SourceProblem]) -> None:
    """A disk that does not take it costs the next scan its time, and nothing else."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(handle, "w") as file:
                for one in found:
                    file.write(json.dumps(asdict(one)) + "\n")
                file.write(json.dumps({"members": len(found)}) + "\n")
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
