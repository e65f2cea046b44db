"""Stored neighbour graphs as a service reads them: loaded once, and again when replaced."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from likeness.catalog.records import Space
from likeness.errors import SnapshotDamaged
from search.graph.graph import NeighbourGraph
from search.graph.store import FILE_NAME, load_graph

_log = logging.getLogger(__name__)


class StoredGraphs:
    """The graph of each space that lies beside its snapshots; never computes one. Thread-safe.

    index_dir: where a space's snapshots lie.
    """

    def __init__(self, index_dir: Callable[[Space], Path]) -> None:
        self._index_dir = index_dir
        self._kept: dict[int, tuple[tuple[int, int], NeighbourGraph | None]] = {}
        self._lock = threading.Lock()

    def of(self, space: Space) -> NeighbourGraph | None:
        """The graph of a space as last stored; None without one, or for a damaged or foreign one.

        It may lag behind the space: images added since are not in it.
        """
        path = self._index_dir(space) / FILE_NAME
        try:
            stat = path.stat()
        except OSError:
            return None
        state = (stat.st_mtime_ns, stat.st_ino)
        with self._lock:
            kept = self._kept.get(space.id)
            if kept is None or kept[0] != state:
                kept = (state, _loaded(path, space))
                self._kept[space.id] = kept
            return kept[1]


def _loaded(path: Path, space: Space) -> NeighbourGraph | None:
    try:
        graph = load_graph(path)
    except SnapshotDamaged as damage:
        _log.warning("%s: %s; searches go without it", damage.path, damage.reason)
        return None
    return graph if graph is not None and graph.fingerprint == space.fingerprint else None
