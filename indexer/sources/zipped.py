"""ZIP archives: members are read one at a time into memory, never extracted."""

from __future__ import annotations

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator

from indexer.sources.archive import Archive
from indexer.sources.files import too_large
from indexer.sources.interface import (
    Closing,
    ProblemKind,
    SourceItem,
    SourceLimits,
    SourceProblem,
)
from indexer.sources.patterns import ARCHIVES, Selection, extension
from indexer.sources.uris import member_prefix, member_uri, shown, split_member_uri
from likeness.errors import SourceError, UnreadableSource

_ENCRYPTED = 0x1
_CHUNK = 1 << 20


class ZipSource(Closing):
    """The members of one .zip, in the order of its directory."""

    root: str | None
    unreadable: tuple[str, ...] = ()

    def __init__(self, archive: Archive, selection: Selection, limits: SourceLimits) -> None:
        self._archive = archive
        self._selection, self._limits = selection, limits
        self.root = self._prefix = member_prefix("zip", archive.uri)
        try:
            self._file = archive.open()
            self._zip = zipfile.ZipFile(self._file)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            self.close()
            raise SourceError(archive.path, f"the ZIP archive cannot be read: {error}") from error
        self._members = {
            member_uri(self._prefix, member.filename): member
            for member in reversed(self._zip.infolist())  # of two of one name, the first counts
        }

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        for member in self._zip.infolist():
            uri = member_uri(self._prefix, member.filename)
            path = f"{self._archive.path}!/{shown(member.filename)}"
            if member.is_dir() or stat.S_ISLNK(member.external_attr >> 16):
                continue
            if not self._selection.takes_member(member.filename.removeprefix("./")):
                continue
            reason = None
            if self._members[uri] is not member:
                reason = "the archive has another member of the same name before it"
            elif extension(member.filename) in ARCHIVES:
                reason = "an archive inside an archive is not opened; unpack it to index it"
            if reason is not None:
                yield SourceProblem(path, reason, ProblemKind.SKIPPED)
                continue
            yield SourceItem(uri, path, member.file_size, self._archive.mtime_ns)

    def read(self, item: SourceItem) -> bytes:
        member = self._members.get(item.uri)
        if member is None:
            raise UnreadableSource(item.path, "the archive has no such member")
        if member.flag_bits & _ENCRYPTED:
            raise UnreadableSource(item.path, "it is encrypted", "unpack it to index it")
        if member.file_size > self._limits.max_bytes:
            raise too_large(item.path, member.file_size, self._limits)
        try:
            data = self._read(member, item.path)
        except (
            OSError,
            EOFError,
            RuntimeError,
            NotImplementedError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
        ) as error:
            raise UnreadableSource(item.path, f"the archive is damaged: {error}") from error
        if self._archive.changed():
            raise UnreadableSource(
                item.path, "the archive changed while being read", "index it again later"
            )
        return data

    def exists(self, uri: str) -> bool:
        parts = split_member_uri(uri)
        if parts is None or not uri.startswith(self._prefix):
            return True
        return uri in self._members

    def close(self) -> None:
        for opened in ("_zip", "_file"):
            if hasattr(self, opened):
                getattr(self, opened).close()
        self._archive.close()

    def _read(self, member: zipfile.ZipInfo, path: str) -> bytes:
        """All of a member, counting what comes out: the declared size may be a lie."""
        parts, total = [], 0
        with self._zip.open(member) as stream:
            while part := stream.read(_CHUNK):
                total += len(part)
                if total > self._limits.max_bytes:
                    raise too_large(path, total, self._limits)
                parts.append(part)
        if total != member.file_size:
            raise zipfile.BadZipFile(f"{total} bytes where {member.file_size} are declared")
        return b"".join(parts)
