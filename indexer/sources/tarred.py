"""Tar archives and WebDataset shards, compressed or not: read in order, never extracted.

Neighbouring members that share a key (the name up to its first dot) are one sample, as WebDataset
has it (Aizman et al., 2019): `.txt`, `.json` and `.cls` beside an image become the image's fields.
"""

from __future__ import annotations

import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from indexer.sources.archive import Archive
from indexer.sources.files import too_large
from indexer.sources.interface import (
    NO_FIELDS,
    Closing,
    Fields,
    ProblemKind,
    SourceItem,
    SourceLimits,
    SourceProblem,
)
from indexer.sources.patterns import ARCHIVES, Selection, extension
from indexer.sources.samples import SIDECARS, fields_of
from indexer.sources.tarstream import STREAM_ERRORS, ForwardStream, compression
from indexer.sources.uris import member_prefix, member_uri, shown
from likeness.errors import UnreadableSource

_MAX_SIDECAR_BYTES = 1 << 20
_KEPT_BYTES = 128 << 20
"""How much of what a compressed archive's scan passed is kept for the reads that follow it."""


@dataclass(frozen=True)
class Member(SourceItem):
    """offset: of the data, in the uncompressed stream."""

    offset: int = 0


class TarSource(Closing):
    """The regular files of one tar archive, in its order.

    An uncompressed archive is read at any place. A compressed one is unpacked as a stream once: the
    scan keeps what it passes for a while, so a read that follows soon costs nothing more; one that
    comes late, or again, unpacks from the start once more.
    """

    root: str | None

    def __init__(self, archive: Archive, selection: Selection, limits: SourceLimits) -> None:
        self._archive = archive
        self._selection, self._limits = selection, limits
        self.root = self._prefix = member_prefix("tar", archive.uri)
        self._unreadable: list[str] = []
        self._seen: set[str] | None = None
        self._compressed = compression(archive.read_at(0, 6)) is not None
        self._keeps = self._compressed or archive.passing
        self._kept = _Kept(_KEPT_BYTES)
        self._second = _SecondPass(archive)

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(self._unreadable)

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        self._unreadable.clear()
        seen: set[str] = set()
        try:
            with ForwardStream(self._archive.open(), self._archive.size) as stream:
                for found in self._samples(stream):
                    if isinstance(found, SourceItem):
                        if found.uri in seen:
                            found = SourceProblem(
                                found.path,
                                "the archive has another member of the same name before it",
                                ProblemKind.SKIPPED,
                            )
                        else:
                            seen.add(found.uri)
                    yield found
        except (tarfile.TarError, *STREAM_ERRORS) as error:
            self._unreadable.append(self._prefix)
            yield SourceProblem(
                self._archive.path,
                f"the archive is damaged from here on: {error}",
                ProblemKind.UNREADABLE,
                self._prefix,
            )
            return
        self._seen = seen

    def read(self, item: SourceItem) -> bytes:
        member = item if isinstance(item, Member) else self._find(item)
        assert member.size is not None
        if member.size > self._limits.max_bytes:
            raise too_large(item.path, member.size, self._limits)
        try:
            data = self._read(member.offset, member.size)
        except STREAM_ERRORS as error:
            raise UnreadableSource(item.path, f"the archive is damaged: {error}") from error
        if len(data) != member.size:
            raise UnreadableSource(item.path, "the archive ends within it")
        if self._archive.changed():
            raise UnreadableSource(
                item.path, "the archive changed while being read", "index it again later"
            )
        return data

    def exists(self, uri: str) -> bool:
        """Told from the last scan that came to the end; before that nothing is known to be gone."""
        return self._seen is None or not uri.startswith(self._prefix) or uri in self._seen

    def close(self) -> None:
        self._archive.close()
        self._second.close()
        self._kept.clear()

    def _read(self, offset: int, size: int) -> bytes:
        data = self._kept.take(offset) if self._keeps else None
        if data is not None:
            return data
        if self._compressed:
            return self._second.read(offset, size)
        return self._archive.read_at(offset, size)

    def _find(self, item: SourceItem) -> Member:
        for found in self.scan():
            if isinstance(found, Member) and found.uri == item.uri:
                return found
        raise UnreadableSource(item.path, "the archive has no such member")

    def _samples(self, stream: ForwardStream) -> Iterator[SourceItem | SourceProblem]:
        """The members, each sample's images carrying the fields of its sidecars."""
        key: str | None = None
        images: list[Member | SourceProblem] = []
        sidecars: dict[str, bytes] = {}
        for member in _members(stream):
            name = member.name.removeprefix("./")
            folder, slash, last = name.rpartition("/")
            stem, _, ending = last.partition(".")
            if folder + slash + stem != key or not stem:
                yield from _with_fields(images, sidecars)
                key, images, sidecars = folder + slash + stem, [], {}
            if not member.isreg():  # folders, links, devices
                continue
            if ending.lower() in SIDECARS:
                if member.size <= _MAX_SIDECAR_BYTES:
                    sidecars[ending.lower()] = stream.read_data(member.size)
            elif (found := self._offered(member, name, stream)) is not None:
                images.append(found)
        yield from _with_fields(images, sidecars)

    def _offered(
        self, member: tarfile.TarInfo, name: str, stream: ForwardStream
    ) -> Member | SourceProblem | None:
        if not self._selection.takes_member(name):
            return None
        path = f"{self._archive.path}!/{shown(name)}"
        if extension(name) in ARCHIVES:
            reason = "an archive inside an archive is not opened; unpack it to index it"
            return SourceProblem(path, reason, ProblemKind.SKIPPED)
        if member.sparse is not None:
            reason = "it is stored sparsely, which is not read; unpack it to index it"
            return SourceProblem(path, reason, ProblemKind.SKIPPED)
        if self._keeps and member.size <= min(self._limits.max_bytes, _KEPT_BYTES // 4):
            self._kept.put(member.offset_data, stream.read_data(member.size))
        return Member(
            uri=member_uri(self._prefix, name),
            path=path,
            size=member.size,
            mtime_ns=self._archive.mtime_ns,
            offset=member.offset_data,
        )


class _Kept:
    """Bytes by offset, the oldest dropped when they pass `max_bytes`. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._held = max_bytes, 0
        self._data: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, offset: int, data: bytes) -> None:
        with self._lock:
            if (old := self._data.pop(offset, None)) is not None:
                self._held -= len(old)
            self._data[offset] = data
            self._held += len(data)
            while self._held > self._max_bytes:
                self._held -= len(self._data.popitem(last=False)[1])

    def take(self, offset: int) -> bytes | None:
        with self._lock:
            data = self._data.pop(offset, None)
            if data is not None:
                self._held -= len(data)
            return data

    def clear(self) -> None:
        with self._lock:
            self._data.clear()
            self._held = 0


class _SecondPass:
    """Reads at growing offsets by unpacking onwards, at earlier ones from the start."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._stream: ForwardStream | None = None
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        with self._lock:
            if self._stream is None or self._stream.tell() > offset:
                if self._stream is not None:
                    self._stream.close()
                self._stream = ForwardStream(self._archive.open(), self._archive.size)
            self._stream.seek(offset)
            return self._stream.read_data(size)

    def close(self) -> None:
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None


def _members(stream: ForwardStream) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar:
        remembered: list[tarfile.TarInfo] = vars(tar)["members"]
        while (member := tar.next()) is not None:
            yield member
            remembered.clear()  # else every member of a large archive stays in memory


def _with_fields(
    found: list[Member | SourceProblem], sidecars: dict[str, bytes]
) -> Iterator[SourceItem | SourceProblem]:
    fields: Fields = fields_of(sidecars) if sidecars else NO_FIELDS
    for one in found:
        if isinstance(one, Member) and fields:
            one = Member(one.uri, one.path, one.size, one.mtime_ns, fields, one.offset)
        yield one
