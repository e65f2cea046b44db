"""Filters turned into sets of ids, remembered while nothing was committed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from likeness.catalog.where import Where, parse_where
from likeness.types import ImageIds
from likeness.vectors.idset import IdSet
from search.spaces import SpaceReader
from search.view import View

_KEPT = 32


class FilteringCatalog(Protocol):
    def filter_ids(self, collection_id: int, where: Where | None = None) -> ImageIds: ...


class Filters:
    """What the filters of a collection's queries match. Thread-safe.

    A set is kept as long as the collection's revision stands, so that a common filter costs
    nothing, and indexes keep what they derived from it.
    """

    def __init__(self, catalog: FilteringCatalog) -> None:
        self._catalog = catalog
        self._kept: OrderedDict[tuple[int, str], tuple[int, IdSet]] = OrderedDict()
        self._lock = threading.Lock()

    def resolve(self, where: str | None, reader: SpaceReader) -> tuple[IdSet | None, View]:
        """The images that match, and a view that holds all of them that are embedded.

        None: no filter. The view is taken after the filter, so that nothing that matched is
        missing from it. Raises WhereError.
        """
        if where is None or not where.strip():
            return None, reader.view()
        collection_id = reader.space.collection_id
        key = (collection_id, where)
        before = reader.view()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept[0] == before.revision:
                self._kept.move_to_end(key)
                return kept[1], before
        matching = IdSet(self._catalog.filter_ids(collection_id, parse_where(where)))
        view = reader.view()
        if view.revision == before.revision:  # so the filter was asked at that very revision
            with self._lock:
                self._kept[key] = (view.revision, matching)
                self._kept.move_to_end(key)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return matching, view
