"""Images that somebody sends: kept under the hash of their bytes, then indexed like any source."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.progress import IndexReport, Progress
from indexer.service import Indexer, IndexRequest
from indexer.sources.files import file_exists, read_file
from indexer.sources.interface import Closing, SourceItem, SourceLimits, SourceProblem
from indexer.sources.uris import file_uri, path_from_uri, shown
from likeness.catalog.records import FieldValue
from likeness.errors import SourceError, UnsupportedFormat
from likeness.imaging.decode import READ_FORMATS
from likeness.imaging.sniff import foreign_name, sniff

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes that are on disk. name: what the sender calls them. url: where they were fetched."""

    name: str
    sha256: str
    path: Path
    url: str | None = None

    @property
    def uri(self) -> str:
        return file_uri(self.path)

    @property
    def fields(self) -> dict[str, FieldValue]:
        """What is kept beside the facts, and can be filtered by."""
        kept: dict[str, FieldValue] = {"filename": self.name}
        if self.url is not None:
            kept["url"] = self.url
        return kept


class UploadStore:
    """The folder of uploads: `SHA-256.format`. The same bytes are kept once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, data: bytes, name: str, *, url: str | None = None) -> Upload:
        """The bytes are on disk, safe from a power cut. Nothing but images is kept.

        Raises UnsupportedFormat, SourceError when the disk does not take them.
        """
        found = sniff(data)
        if found is None:
            raise UnsupportedFormat(name, f"it is {foreign_name(data)}", f"{READ_FORMATS} are read")
        digest = hashlib.sha256(data).hexdigest()
        path = self._root.absolute() / f"{digest}.{found.name}"
        plain = shown(name.replace("\0", "")).strip()[-_LONGEST_NAME:] or path.name
        try:
            if not path.is_file() or path.stat().st_size != len(data):
                self._write(path, data)
        except OSError as error:
            raise SourceError(
                str(self._root), f"the upload cannot be kept: {error.strerror}", "make room there"
            ) from error
        return Upload(plain, digest, path, url)

    def _write(self, path: Path, data: bytes) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._root, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class UploadSource(Closing):
    """A source of uploads. Says of none that it vanished."""

    root: str | None = None
    unreadable: tuple[str, ...] = ()

    def __init__(self, uploads: Sequence[Upload], limits: SourceLimits) -> None:
        self._uploads, self._limits = uploads, limits

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        seen: set[str] = set()
        for upload in self._uploads:
            if upload.uri in seen:
                continue
            seen.add(upload.uri)
            facts = upload.path.stat()
            yield SourceItem(
                upload.uri, str(upload.path), facts.st_size, facts.st_mtime_ns, upload.fields
            )

    def read(self, item: SourceItem) -> bytes:
        return read_file(path_from_uri(item.uri), self._limits)

    def exists(self, uri: str) -> bool:
        return file_exists(uri)


class UploadIndexer(Indexer):
    """The write side for uploads."""

    def add(
        self,
        collection: str,
        uploads: Sequence[Upload],
        progress: Progress,
        stop: threading.Event,
    ) -> IndexReport:
        """The uploads are in the collection, or listed as failed. Idempotent.

        An image that was removed comes back: sending it again says that it is wanted.
        """
        request = IndexRequest(collection=collection, restore=True, retry_failed=True)
        source = UploadSource(uploads, self._source_limits())
        return self._index(request, [source], progress, stop, None)
