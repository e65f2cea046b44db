"""A space, kept open: the newest index that is whole, and everything committed since.

The truth is in the catalog. Each query asks it one cheap question, where the space's head is, and
catches up when it moved; so an image is found as soon as it is committed, and gone as soon as it
is. A newer index is opened beside, in a thread of its own, while the present one answers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from likeness.catalog.records import Changes, Head, SnapshotRow, SnapshotState, Space
from likeness.errors import LikenessError, SnapshotDamaged, SnapshotError, SnapshotMissing
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.cores import in_background
from likeness.vectors.exact import ExactIndex
from likeness.vectors.idset import IdSet, positions_in
from likeness.vectors.index import VectorIndex
from likeness.vectors.snapshot import IN_MEMORY_BYTES, Snapshot, open_snapshot
from likeness.vectors.tail import Tail
from search.view import NOBODY, Notice, View

log = logging.getLogger(__name__)


class SpaceCatalog(Protocol):
    """What a reader asks of the catalog; `likeness.catalog.Catalog` has it."""

    def head(self, collection_id: int, space_id: int) -> Head: ...
    def changes_since(self, space_id: int, revision: int) -> Changes: ...
    def stream_vectors(
        self, space_id: int, *, up_to_revision: int | None = None
    ) -> Iterator[tuple[ImageIds, StoredVectors]]: ...
    def chunks_digest(self, space_id: int, up_to_revision: int) -> str: ...
    def snapshots(self, space_id: int) -> list[SnapshotRow]: ...
    def set_aside(self, space_id: int, name: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Base:
    """An opened index, or everything read from the catalog. revision: what it covers."""

    index: VectorIndex
    revision: int
    snapshot: Snapshot | None

    @property
    def name(self) -> str | None:
        return None if self.snapshot is None else self.snapshot.path.name

    def intact(self) -> bool:
        return self.snapshot is None or self.snapshot.intact()


@dataclass(frozen=True, slots=True)
class _Serving:
    """What answers now. The tail is changed under the reader's lock only; the rest is final."""

    base: _Base
    tail: Tail
    view: View

    def after(self, changes: Changes) -> _Serving:
        """The same index with changes applied. Images that come anew move from base to tail."""
        touched = np.union1d(changes.added_ids, changes.dead_ids)
        if not len(touched):  # tags were set, say
            return replace(self, view=replace(self.view, revision=changes.revision))
        self.tail.apply(changes.added_ids, changes.added_vectors, changes.dead_ids)
        ids = self.base.index.ids
        stale = ids[positions_in(ids, touched)]
        removed = self.view.removed
        if len(stale):
            removed = removed | IdSet(stale)
        view = replace(self.view, tail=self.tail.view(), removed=removed, revision=changes.revision)
        return replace(self, view=view)


class SpaceReader:
    """Views of one space, always fresh. Thread-safe; closes its opener thread on `close`."""

    def __init__(
        self,
        catalog: SpaceCatalog,
        space: Space,
        directory: Path,
        *,
        in_memory_bytes: int = IN_MEMORY_BYTES,
        server: str = "",
        device: str = "cpu",
    ) -> None:
        """directory: where this machine keeps the space's snapshots. Nothing is opened yet.

        server, device: of the index, see `open_snapshot`.
        """
        self.space = space
        self._catalog, self._directory = catalog, directory
        self._in_memory_bytes, self._server, self._device = in_memory_bytes, server, device
        self._lock = threading.Lock()
        self._serving: _Serving | None = None
        self._refused: set[str] = set()
        self._opener: threading.Thread | None = None
        self._notices: dict[str, Notice] = {}
        self._closed = False

    @property
    def notices(self) -> list[Notice]:
        """What is not as it should be with the index that serves; empty when all is well."""
        with self._lock:
            return list(self._notices.values())

    @property
    def tail_rows(self) -> int:
        with self._lock:
            return 0 if self._serving is None else len(self._serving.tail)

    def close(self) -> None:
        """Wait for an index that is being opened, and let go of everything."""
        with self._lock:
            self._closed = True
            opener = self._opener
        if opener is not None:
            opener.join()
        with self._lock:
            self._serving = None

    def view(self, *, wait: bool = False) -> View:
        """The space as of now: with everything committed before this call.

        wait: also until a newer index that is there has been opened (for tests and reports).
        Raises CatalogError when the catalog cannot be read.
        """
        head = self._catalog.head(self.space.collection_id, self.space.id)
        serving = self._serving
        if serving is None or not self._stands(serving, head):
            serving = self._catch_up(head)
        if wait:
            self._wait_for_opener()
            serving = self._catch_up(head)
        return serving.view

    # ------------------------------------------------------------------ catching up

    def _stands(self, serving: _Serving, head: Head) -> bool:
        """Whether what answers now is still right and the newest there is. Needs no lock."""
        if serving.view.revision < head.revision or not serving.base.intact():
            return False
        newest = None if head.snapshot is None else head.snapshot.name
        return newest in (None, serving.base.name) or newest in self._refused

    def _catch_up(self, head: Head) -> _Serving:
        """At least head answers from now on, from the best index at hand."""
        with self._lock:
            serving = self._serving
            if serving is not None and self._stands(serving, head):
                return serving
            if serving is not None and not serving.base.intact():
                self._refuse_written_to(serving.base)
                serving = None
            if serving is None:
                serving = self._started(self._open_best(head))
            newest = head.snapshot
            if newest is not None and newest.name not in (serving.base.name, *self._refused):
                self._open_beside(newest)
            if serving.view.revision < head.revision:
                serving = serving.after(self._changes(serving))
            self._serving = serving
            return serving

    def _changes(self, serving: _Serving) -> Changes:
        return self._catalog.changes_since(self.space.id, serving.view.revision)

    def _started(self, base: _Base) -> _Serving:
        """Serving from base, with a tail of what is newer than it."""
        tail = Tail(self.space.dim)
        view = View(base.index, tail.view(), NOBODY, base.revision, base.name)
        serving = _Serving(base, tail, view)
        return serving.after(self._changes(serving))

    # ------------------------------------------------------------------ opening

    def _open_best(self, head: Head) -> _Base:
        """The current snapshot; else the one before it; else everything from the catalog."""
        candidates = [] if head.snapshot is None else [head.snapshot]
        candidates += [
            row
            for row in self._catalog.snapshots(self.space.id)
            if row.state is SnapshotState.PREVIOUS
        ]
        for row in candidates:
            if row.name in self._refused:
                continue
            try:
                return self._open(row)
            except SnapshotError as error:
                self._refuse(row.name, error)
        return self._read_catalog(head)

    def _open(self, row: SnapshotRow) -> _Base:
        """Raises SnapshotError for one that is damaged, or not the one the catalog means."""
        path = self._directory / row.name
        opened = open_snapshot(
            path,
            in_memory_bytes=self._in_memory_bytes,
            server=self._server,
            device=self._device,
        )
        manifest = opened.manifest
        if manifest.as_dict() != dict(row.manifest) or manifest.revision != row.revision:
            raise SnapshotDamaged(str(path), "its manifest is not the one in the catalog")
        if (manifest.fingerprint, manifest.dim) != (self.space.fingerprint, self.space.dim):
            raise SnapshotDamaged(str(path), "it holds vectors of another encoder")
        if manifest.digest != self._catalog.chunks_digest(self.space.id, manifest.revision):
            raise SnapshotDamaged(str(path), "it was built from another history of this catalog")
        return _Base(opened.index, manifest.revision, opened)

    def _read_catalog(self, head: Head) -> _Base:
        ids = [np.empty(0, dtype=np.int64)]
        rows = [np.empty((0, self.space.dim), dtype=np.float16)]
        stream = self._catalog.stream_vectors(self.space.id, up_to_revision=head.revision)
        for batch_ids, batch_rows in stream:
            ids.append(batch_ids)
            rows.append(batch_rows)
        index = ExactIndex(np.concatenate(ids), np.concatenate(rows))
        return _Base(index, head.revision, None)

    def _refuse_written_to(self, base: _Base) -> None:
        assert base.snapshot is not None
        path = base.snapshot.path
        self._refuse(path.name, SnapshotDamaged(str(path), "it was written to while it served"))

    def _refuse(self, name: str, error: SnapshotError) -> None:
        """Under the lock: this snapshot never answers here again; the catalog is told why.

        One that is simply not on this machine is not set aside: another machine may serve it.
        """
        self._refused.add(name)
        if not any(row.name == name for row in self._catalog.snapshots(self.space.id)):
            return  # replaced and removed while it was being opened: nothing is wrong
        log.warning("space %s of %s: %s", self.space.id, self.space.encoder, error)
        if isinstance(error, SnapshotMissing):
            message = (
                f"index {name} is not on this machine; answers are right, and quick again after "
                "`likeness reindex --index-only` or the next `likeness index`"
            )
            self._notices[name] = Notice("index_missing", message)
            return
        code = "index_damaged" if isinstance(error, SnapshotDamaged) else "index_unreadable"
        self._notices[name] = Notice(code, str(error))
        if isinstance(error, SnapshotDamaged):
            self._catalog.set_aside(self.space.id, name, error.reason)

    def _open_beside(self, row: SnapshotRow) -> None:
        """Under the lock: a thread opens the newer index; what serves now goes on serving."""
        if self._opener is not None or self._closed:
            return
        self._opener = threading.Thread(
            target=self._open_and_switch, args=(row,), name="likeness-index-opener", daemon=True
        )
        self._opener.start()

    def _open_and_switch(self, row: SnapshotRow) -> None:
        try:
            with in_background():
                ahead = self._started(self._open(row))
            with self._lock:
                if not self._closed:
                    # What was committed meanwhile, so that no view is older than one before it.
                    self._serving = ahead.after(self._changes(ahead))
                    self._notices.clear()
        except SnapshotError as error:
            with self._lock:
                self._refuse(row.name, error)
        except LikenessError:
            # The catalog could not be read. The next query asks it itself and reports.
            log.exception("space %s: index %s could not be opened", self.space.id, row.name)
        finally:
            with self._lock:
                self._opener = None

    def _wait_for_opener(self) -> None:
        with self._lock:
            opener = self._opener
        if opener is not None:
            opener.join()
