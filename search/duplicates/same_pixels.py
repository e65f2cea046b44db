"""New images that show the very same pixels as another are found before they are added.

A PDQ hash shortlists, since re-encoding and retagging change it by few bits; full decoding of both
decides. It fits the write side's `indexer.admission.Admission`, which `search` does not know.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from likeness.catalog import Catalog
from likeness.catalog.records import SourceFacts
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.runtime import Runtime
from likeness.types import ImageFacts
from search.duplicates.pictures import PictureLoader, PooledLoader, ReadBytes
from search.duplicates.relations import Relation
from search.duplicates.verify import same_pixels

MOST_BITS = 40
"""Of 256: what `same_pixels` lets pass, JPEG of quality 20 and better, changes fewer."""
_MOST_LOOKED_AT = 8
_BLOCK = 65_536


class SamePixels:
    """The images of a collection, and those let in since, by their hashes.

    48 bytes per image. Blank pictures have no hash and are let in.
    """

    relation = Relation.SAME_PIXELS.value

    def __init__(self, catalog: Catalog, collection_id: int, loader: PictureLoader) -> None:
        self._catalog, self._collection_id, self._loader = catalog, collection_id, loader
        image_ids = catalog.filter_ids(collection_id, None)
        hashes = DuplicateRecords(catalog).hashes(image_ids)
        has_hash = hashes.quality >= 0
        self._image_ids = image_ids[has_hash]
        self._hashes = np.ascontiguousarray(hashes.pdq[has_hash]).view(np.uint64)
        self._count = len(self._hashes)
        self._let_in: list[tuple[str, tuple[int, int]]] = []

    def repeated_by(self, source: SourceFacts, facts: ImageFacts) -> str | None:
        """The URI of an image with these pixels; None lets this one in.

        A file that has changed in place is no repeat of what it was.
        """
        if facts.perceptual_hash is None:
            return None
        bits = np.frombuffer(facts.perceptual_hash, dtype=np.uint64)
        size = (facts.width, facts.height)
        uris = [uri for uri in self._candidates(bits, size) if uri != source.uri]
        if uris:
            pictures = self._loader.fine([source.uri, *uris[:_MOST_LOOKED_AT]])
            own = next(pictures)
            for uri, picture in zip(uris, pictures, strict=False):
                if own is not None and picture is not None and same_pixels(own, picture):
                    return uri
        self._let_in.append((source.uri, size))
        self._remember(bits)
        return None

    def _candidates(self, bits: npt.NDArray[np.uint64], size: tuple[int, int]) -> list[str]:
        """Images of this size with a hash near this one, the nearest first."""
        rows = _near(self._hashes[: self._count], bits)
        stored = len(self._image_ids)
        ids = {int(row): int(self._image_ids[row]) for row in rows if row < stored}
        images = self._catalog.images(self._collection_id, list(ids.values()))
        found = []
        for row in rows.tolist():
            if row >= stored:
                uri, its_size = self._let_in[row - stored]
            elif (image := images.get(ids[row])) is not None and image.facts is not None:
                uri, its_size = image.uri, (image.facts.width, image.facts.height)
            else:
                continue
            if its_size == size:
                found.append(uri)
        return found

    def _remember(self, bits: npt.NDArray[np.uint64]) -> None:
        if self._count == len(self._hashes):
            larger = np.zeros((max(1024, 2 * self._count), 4), dtype=np.uint64)
            larger[: self._count] = self._hashes
            self._hashes = larger
        self._hashes[self._count] = bits
        self._count += 1


def _near(base: npt.NDArray[np.uint64], bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Rows of base, uint64 [n, 4], with at most 40 bits unlike, the nearest first."""
    distances = [
        np.bitwise_count(base[start : start + _BLOCK] ^ bits).sum(axis=1, dtype=np.int32)
        for start in range(0, len(base), _BLOCK)
    ]
    if not distances:
        return np.empty(0, dtype=np.int64)
    distance = np.concatenate(distances)
    rows = np.flatnonzero(distance <= MOST_BITS)
    return rows[np.argsort(distance[rows], kind="stable")]


@contextmanager
def open_same_pixels(runtime: Runtime, read: ReadBytes) -> Iterator[Callable[[int], SamePixels]]:
    """Collection id → `SamePixels`; its decode workers, if any were needed, end with the block."""
    workers = runtime.settings.decode_workers or max(1, len(os.sched_getaffinity(0)))
    with PooledLoader(read, workers=workers, limits=runtime.limits) as loader:
        yield lambda collection_id: SamePixels(runtime.catalog, collection_id, loader)
