"""What the user named → the source that reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.sources.files import FileSource, FolderSource, read_file
from indexer.sources.interface import (
    DEFAULT_LIMITS,
    Closing,
    Source,
    SourceItem,
    SourceLimits,
    SourceProblem,
)
from indexer.sources.lists import ListSource
from indexer.sources.patterns import Selection
from indexer.sources.tarred import TarSource
from indexer.sources.tarstream import MAGIC
from indexer.sources.uris import path_from_uri, shown, split_member_uri
from indexer.sources.web import WebReader, is_url
from indexer.sources.zipped import ZipSource
from likeness.errors import SourceError, UnreadableSource

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".tzst")


def open_source(
    spec: str | Path,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    follow_symlinks: bool = False,
    limits: SourceLimits = DEFAULT_LIMITS,
) -> Source:
    """The folder, file, archive, WebDataset shard or URL that `spec` names.

    include, exclude: patterns, see `indexer.sources.patterns`; they select within folders and
    archives. Raises SourceError when there is nothing there that can be read.
    """
    if isinstance(spec, str) and is_url(spec):
        return UrlSource(spec, limits)
    selection = Selection.of(include, exclude, hidden=hidden)
    path = os.fspath(Path(spec).expanduser())
    try:
        kind = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        reason = "there is no such file or folder"
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            reason = f"it cannot be read: {error.strerror}"
        raise SourceError(shown(spec), reason, "check its name") from error
    if stat.S_ISDIR(kind):
        return FolderSource(path, selection, limits, follow_symlinks=follow_symlinks)
    if not stat.S_ISREG(kind):
        raise SourceError(shown(spec), "it is neither a file nor a folder", "name one of those")
    return _open_file(path, selection, limits)


def open_list(
    path: str | Path, *, column: str | None = None, limits: SourceLimits = DEFAULT_LIMITS
) -> Source:
    """The images that a .txt, .csv, .tsv or .parquet names; see `ListSource`."""
    return ListSource(path, limits, column=column)


def read_uri(uri: str, *, limits: SourceLimits = DEFAULT_LIMITS) -> bytes:
    """The bytes behind a URI from the catalog, whichever source it came from.

    A member of a compressed tar costs unpacking up to it.
    Raises UnreadableSource or ImageTooLarge.
    """
    if is_url(uri):
        web = WebReader(limits)
        try:
            return web.read(uri)
        finally:
            web.close()
    member = split_member_uri(uri)
    if member is None:
        try:
            return read_file(path_from_uri(uri), limits)
        except ValueError as error:
            raise UnreadableSource(uri, str(error)) from error
    scheme, archive, name = member
    kind = ZipSource if scheme == "zip" else TarSource
    try:
        with kind(archive, Selection(hidden=True), limits) as source:
            return source.read(SourceItem(uri, f"{shown(archive)}!/{shown(name)}", None, None))
    except SourceError as error:
        raise UnreadableSource(shown(archive), error.reason) from error


class UrlSource(Closing):
    """One image named by its URL."""

    root: str | None = None
    unreadable: tuple[str, ...] = ()

    def __init__(self, url: str, limits: SourceLimits) -> None:
        self._url = url
        self._web = WebReader(limits)

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        yield SourceItem(self._url, self._url, None, None)

    def read(self, item: SourceItem) -> bytes:
        return self._web.read(item.uri)

    def exists(self, uri: str) -> bool:  # noqa: ARG002 — only fetching would tell
        return True

    def close(self) -> None:
        self._web.close()


def _open_file(path: str, selection: Selection, limits: SourceLimits) -> Source:
    try:
        with Path(path).open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(shown(path), f"it cannot be read: {error.strerror}") from error
    if head.startswith(_ZIP_MAGIC):
        return ZipSource(path, selection, limits)
    name = Path(path).name.lower()
    packed = head.startswith(tuple(MAGIC))
    if packed and (name.endswith(_TAR_ENDINGS) or ".tar." in name):
        return TarSource(path, selection, limits)
    if not packed and (head[257:262] == b"ustar" or name.endswith(".tar")):
        return TarSource(path, selection, limits)
    return FileSource(path, limits)
