"""What re-rankers may look at besides vectors: the neighbour graph, and patches of images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import ImageRow, Space
from likeness.encoders.interface import Encoder
from likeness.errors import ImageError, QueryError
from likeness.types import RgbImage
from search.compose import LoadImage, pixels_of
from search.graph.graph import NeighbourGraph
from search.request import IdTerm, ImageTerm, SearchRequest
from search.rerank.graph_lists import GraphLists
from search.rerank.interface import Context
from search.rerank.matching import PatchFeatures
from search.rerank.patch_store import PatchStore, StoredPatches, features_of
from search.rerank.registry import needs_pixels

PATCHES_FOLDER = "patches"


class Contexts:
    """Contexts of requests. Thread-safe.

    read_image: the bytes of a stored image, or an ImageError; None where they are out of reach.
    graph_of: the neighbour graph of a space as far as it is computed, or None.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        index_dir: Callable[[Space], Path],
        encoder_of: Callable[[Space], Encoder],
        load_image: LoadImage,
        read_image: Callable[[ImageRow], bytes] | None,
        graph_of: Callable[[Space], NeighbourGraph | None] | None,
    ) -> None:
        self._catalog = catalog
        self._index_dir, self._encoder_of, self._load_image = index_dir, encoder_of, load_image
        self._read_image, self._graph_of = read_image, graph_of
        self._stores: dict[int, PatchStore] = {}
        self._lock = threading.Lock()

    def of(self, request: SearchRequest, space: Space) -> Context:
        """What the request's re-rankers may use in this space.

        Raises QueryError when they compare pixels and there is no picture to compare with, or
        stored images are out of reach; NoPatchTokens; ImageError for the query picture.
        """
        graph = None if self._graph_of is None else self._graph_of(space)
        neighbours = None if graph is None else GraphLists(graph)
        if not needs_pixels(request.rerank):
            return Context(neighbours)
        if self._read_image is None:
            raise QueryError(
                "the re-ranker patches compares pixels, and stored images are out of reach here; "
                "leave it out"
            )
        patches = StoredPatches(
            self._store(space),
            self._encoder_of(space),
            lambda image_id: self.pixels(space.collection_id, image_id),
        )
        return Context(neighbours, self._query_patches(request, space, patches), patches)

    def pixels(self, collection_id: int, image_id: int) -> RgbImage | None:
        """A stored image's pixels, or None when it cannot be read any more."""
        row = self._catalog.images(collection_id, [image_id]).get(image_id)
        if row is None or self._read_image is None:
            return None
        try:
            return self._load_image(self._read_image(row), row.path)
        except ImageError:
            return None

    def _query_patches(
        self, request: SearchRequest, space: Space, patches: StoredPatches
    ) -> PatchFeatures | None:
        """Patches of the heaviest picture that is asked for; None without one."""
        wanted = [t for t in request.terms if isinstance(t, ImageTerm | IdTerm) and t.weight > 0]
        if not wanted:
            return None
        term = max(wanted, key=lambda each: each.weight)
        if isinstance(term, IdTerm):
            return patches.features(np.array([term.image_id], dtype=np.int64))[0]
        pixels = pixels_of(term, self._load_image)
        return features_of(self._encoder_of(space), [pixels])[0]

    def _store(self, space: Space) -> PatchStore:
        with self._lock:
            if space.id not in self._stores:
                self._stores[space.id] = PatchStore(self._index_dir(space) / PATCHES_FOLDER)
            return self._stores[space.id]
