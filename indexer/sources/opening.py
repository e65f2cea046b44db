"""What the user named → the source that reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from indexer.sources.archive import LocalArchive
from indexer.sources.files import FileSource, FolderSource, read_file
from indexer.sources.interface import (
    DEFAULT_LIMITS,
    Source,
    SourceItem,
    SourceLimits,
)
from indexer.sources.lists import ListSource
from indexer.sources.patterns import Selection
from indexer.sources.remote.opening import is_remote, open_remote, store_of
from indexer.sources.tarred import TarSource
from indexer.sources.tarstream import MAGIC
from indexer.sources.uris import path_from_uri, shown, split_member_uri, split_object_uri
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
    selection = Selection.of(include, exclude, hidden=hidden)
    if isinstance(spec, str) and is_remote(spec):
        return open_remote(spec, selection, limits)
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
    if is_remote(uri):
        store = store_of(uri, limits)
        try:
            return store.read(uri, None)
        except SourceError as error:
            raise UnreadableSource(uri, error.reason, error.remedy) from error
        finally:
            store.close()
    member = split_member_uri(uri)
    if member is None:
        try:
            return read_file(path_from_uri(uri), limits)
        except ValueError as error:
            raise UnreadableSource(uri, str(error)) from error
    scheme, archive, name = member
    kind = ZipSource if scheme == "zip" else TarSource
    try:
        if is_remote(archive):
            opened = open_remote(_typed(archive), Selection(hidden=True), limits)
        else:
            opened = kind(LocalArchive(archive), Selection(hidden=True), limits)
        with opened as source:
            return source.read(SourceItem(uri, f"{shown(archive)}!/{shown(name)}", None, None))
    except SourceError as error:
        raise UnreadableSource(shown(archive), error.reason) from error


def open_archive(archive: str, *, limits: SourceLimits = DEFAULT_LIMITS) -> Source:
    """The archive that `split_member_uri` names, hidden members included. Raises SourceError."""
    return open_source(_typed(archive), hidden=True, limits=limits)


def _typed(archive: str) -> str:
    """The URI of an archive as a person would type it, for `open_remote`."""
    parts = split_object_uri(archive)
    return archive if parts is None else f"{parts[0]}://{parts[1]}/{parts[2]}"


def _open_file(path: str, selection: Selection, limits: SourceLimits) -> Source:
    try:
        with Path(path).open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(shown(path), f"it cannot be read: {error.strerror}") from error
    if head.startswith(_ZIP_MAGIC):
        return ZipSource(LocalArchive(path), selection, limits)
    name = Path(path).name.lower()
    packed = head.startswith(tuple(MAGIC))
    if packed and (name.endswith(_TAR_ENDINGS) or ".tar." in name):
        return TarSource(LocalArchive(path), selection, limits)
    if not packed and (head[257:262] == b"ustar" or name.endswith(".tar")):
        return TarSource(LocalArchive(path), selection, limits)
    return FileSource(path, limits)
