"""Just what changed, as a source; and the write side that brings it into the catalog."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.plan import SeenUris, sweep
from indexer.progress import IndexReport, Progress
from indexer.service import Indexer, IndexRequest
from indexer.sources.files import FolderSource, file_exists, read_file
from indexer.sources.interface import Closing, SourceItem, SourceLimits, SourceProblem
from indexer.sources.patterns import Selection
from indexer.sources.uris import file_uri, folder_prefix, path_from_uri, shown


class TouchedSource(Closing):
    """The files and folders of a watched folder that changed. Says of none that it vanished.

    Patterns count from the watched folder, as when all of it is scanned.
    """

    root: str | None = None

    def __init__(
        self,
        folder: Path,
        paths: Sequence[Path],
        selection: Selection,
        limits: SourceLimits,
        *,
        follow_symlinks: bool,
    ) -> None:
        self._folder, self._paths = folder, paths
        self._selection, self._limits, self._follow = selection, limits, follow_symlinks
        self.unreadable: tuple[str, ...] = ()

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        for path in self._paths:
            inside = path.relative_to(self._folder).as_posix()
            if path.is_symlink() and not self._follow:
                continue
            if path.is_dir():
                yield from self._below(path)
            elif path.is_file() and self._selection.takes_member(inside):
                facts = path.stat()
                yield SourceItem(file_uri(path), shown(path), facts.st_size, facts.st_mtime_ns)

    def read(self, item: SourceItem) -> bytes:
        return read_file(path_from_uri(item.uri), self._limits)

    def exists(self, uri: str) -> bool:
        return file_exists(uri)

    def _below(self, path: Path) -> Iterator[SourceItem | SourceProblem]:
        everything = Selection.of(["*"], hidden=True)  # ours decides, from where it is anchored
        inner = FolderSource(path, everything, self._limits, follow_symlinks=self._follow)
        base = str(self._folder).rstrip(os.sep) + os.sep
        for found in inner.scan():
            if isinstance(found, SourceItem):
                inside = path_from_uri(found.uri)[len(base) :].replace(os.sep, "/")
                if not self._selection.takes_member(inside):
                    continue
                yield found
            elif found.prefix is not None:
                yield found
        self.unreadable += inner.unreadable


class TouchedIndexer(Indexer):
    """The write side for what changed."""

    def follow(
        self,
        request: IndexRequest,
        folder: Path,
        paths: Sequence[Path],
        progress: Progress,
        stop: threading.Event,
    ) -> IndexReport:
        """The collection is in step with those paths of a watched folder, below folders included.

        What is not there any more vanishes from answers, unless it was found under a new name.
        """
        selection = Selection.of(request.include, request.exclude, hidden=request.hidden)
        source = TouchedSource(
            folder, paths, selection, self._source_limits(), follow_symlinks=request.follow_symlinks
        )
        report = self._index(request, [source], progress, stop, None)
        if report.complete:
            self._sweep(request, source, paths, progress)
        return IndexReport(
            collection=report.collection,
            encoders=report.encoders,
            counts=progress.counts,
            seconds=progress.seconds,
            complete=report.complete,
            published=report.published,
            problems=progress.problems,
            notices=tuple(progress.notices),
        )

    def _sweep(
        self,
        request: IndexRequest,
        source: TouchedSource,
        paths: Sequence[Path],
        progress: Progress,
    ) -> None:
        """`exists` decides, so nothing that is there is let go, whatever events said."""
        collection = self._catalog.collection(request.collection)
        for path in paths:
            prefixes = [folder_prefix(path)]
            if not os.path.lexists(path):
                prefixes.append(file_uri(path))
            for prefix in prefixes:
                sweep(
                    _Below(source, prefix),
                    self._catalog,
                    collection.id,
                    seen=SeenUris(),
                    progress=progress,
                    prune=True,
                )


class _Below(Closing):
    """Answers for what lay below a prefix, and finds nothing itself."""

    def __init__(self, source: TouchedSource, prefix: str) -> None:
        self._source = source
        self.root: str | None = prefix
        self.unreadable: tuple[str, ...] = ()

    def scan(self) -> Iterator[SourceItem | SourceProblem]:
        return iter(())

    def read(self, item: SourceItem) -> bytes:
        return self._source.read(item)

    def exists(self, uri: str) -> bool:
        return self._source.exists(uri)


def covering(paths: Sequence[Path]) -> list[Path]:
    """The paths without those that lie below another of them, sorted."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not kept or kept[-1] not in (path, *path.parents):
            kept.append(path)
    return kept
