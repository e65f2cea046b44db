"""Whether an image is already there, before it is added."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import ImageRow, Space
from likeness.catalog.sorting.duplicates import DuplicateRecords, HashColumns
from likeness.encoders.interface import Encoder
from likeness.imaging.perceptual import perceptual_hash
from likeness.types import ImageIds, RgbImage, StoredVectors
from likeness.vectors.hamming import nearest_hashes
from likeness.vectors.knn import top_k
from search.duplicates.candidates import HASH_NEIGHBOURS, MOST_BITS, NEAR_NEIGHBOURS
from search.duplicates.geometry import compare, sketch
from search.duplicates.pictures import PictureLoader, Shrink
from search.duplicates.relations import Pair, Relation, Thresholds
from search.duplicates.verify import same_pixels
from search.graph.keeper import space_vectors

NEW_ROW = -1
"""Stands for the image being checked in the pairs that `Checker` returns."""


@dataclass(frozen=True, slots=True)
class Match:
    """An image that is already there. pair.second is its row among those checked against."""

    image: ImageRow
    relation: Relation
    pair: Pair


class Checker:
    """Compares new images with a collection; holds its vectors and follows its changes."""

    def __init__(
        self,
        catalog: Catalog,
        space: Space,
        encoder: Encoder,
        loader: PictureLoader,
        thresholds: Thresholds,
    ) -> None:
        self._catalog, self._space, self._encoder = catalog, space, encoder
        self._loader, self._thresholds = loader, thresholds
        self._records = DuplicateRecords(catalog)
        self._revision = -1
        self._image_ids: ImageIds = np.empty(0, dtype=np.int64)
        self._vectors: StoredVectors = np.empty((0, space.dim), dtype=np.float16)
        self._hashes = HashColumns(
            np.empty((0, 32), np.uint8), np.empty((0, 32), np.uint8), np.empty(0, np.int16)
        )

    def check(
        self,
        data: bytes,
        pixels: RgbImage,
        *,
        least: Relation = Relation.EDITED_COPY,
        limit: int = 10,
    ) -> list[Match]:
        """The images that the new one is a copy of, the most certain first.

        data: the bytes of the file. pixels: uint8 [h, w, 3], decoded from them.
        """
        self._refresh()
        same = self._same_bytes(data)
        found = {pair.second: pair for pair in self._looked_at(pixels)}
        found |= {pair.second: pair for pair in same}
        pairs = [pair for pair in found.values() if pair.relation.at_least(least)]
        pairs.sort(key=lambda pair: (pair.relation.rank, -pair.score, pair.second))
        rows = self._rows([pair.second for pair in pairs[:limit]])
        return [
            Match(rows[pair.second], pair.relation, pair)
            for pair in pairs[:limit]
            if pair.second in rows
        ]

    def _refresh(self) -> None:
        revision = self._catalog.head(self._space.collection_id, self._space.id).revision
        if revision == self._revision:
            return
        with space_vectors(self._catalog, self._space) as held:
            self._image_ids = held.image_ids
            self._vectors = np.array(held.vectors)
            self._revision = held.revision
        self._hashes = self._records.hashes(self._image_ids)

    def _same_bytes(self, data: bytes) -> list[Pair]:
        digest = np.frombuffer(hashlib.sha256(data).digest(), dtype=np.uint8)
        rows = np.flatnonzero((self._hashes.sha256 == digest).all(axis=1))
        return [Pair(NEW_ROW, int(row), Relation.SAME_BYTES, 1.0, 1.0, 0, None) for row in rows]

    def _looked_at(self, pixels: RgbImage) -> list[Pair]:
        if not len(self._image_ids):
            return []
        bits = self._bits(pixels)
        vector = self._encoder.embed([pixels])
        near = top_k(vector, self._vectors, min(NEAR_NEIGHBOURS, len(self._image_ids)))
        cosine = {
            int(row): float(score)
            for row, score in zip(near.positions[0], near.scores[0], strict=True)
            if row >= 0 and score >= self._thresholds.far_cosine
        }
        candidates = sorted({*cosine, *bits})
        own = sketch(pixels)
        uris = self._rows(candidates)
        candidates = [row for row in candidates if row in uris]
        pictures = self._loader.small([uris[row].uri for row in candidates])
        pairs = []
        for row, picture in zip(candidates, pictures, strict=True):
            score = cosine.get(row, float(vector[0] @ self._vectors[row].astype(np.float32)))
            evidence = None if picture is None else compare(own, sketch(picture))
            if evidence is None:
                continue
            relation = self._relation(evidence.score, evidence.inliers)
            if relation is not None:
                pairs.append(
                    Pair(NEW_ROW, row, relation, evidence.score, score, bits.get(row), evidence)
                )
        return [self._or_same_pixels(pair, pixels, uris[pair.second]) for pair in pairs]

    def _relation(self, score: float, inliers: int) -> Relation | None:
        if score >= self._thresholds.copy_score:
            return Relation.EDITED_COPY
        return Relation.SAME_SCENE if inliers >= self._thresholds.scene_inliers else None

    def _or_same_pixels(self, pair: Pair, pixels: RgbImage, image: ImageRow) -> Pair:
        facts = image.facts
        if facts is None or (facts.height, facts.width) != pixels.shape[:2]:
            return pair
        (theirs,) = self._loader.fine([image.uri])
        if theirs is None or not same_pixels(self._shrunk(pixels, theirs), theirs):
            return pair
        return Pair(
            NEW_ROW,
            pair.second,
            Relation.SAME_PIXELS,
            1.0,
            pair.cosine,
            pair.bits,
            pair.evidence,
        )

    @staticmethod
    def _shrunk(pixels: RgbImage, like: RgbImage) -> RgbImage:
        return Shrink(max(like.shape[:2]))(pixels)

    def _bits(self, pixels: RgbImage) -> dict[int, int]:
        own = perceptual_hash(pixels)[0]
        has_hash = np.flatnonzero(self._hashes.quality >= 0)
        if own is None or not len(has_hash):
            return {}
        rows, distances = nearest_hashes(
            np.frombuffer(own, dtype=np.uint8)[None], self._hashes.pdq[has_hash], HASH_NEIGHBOURS
        )
        return {
            int(has_hash[row]): int(distance)
            for row, distance in zip(rows[0], distances[0], strict=True)
            if row >= 0 and distance <= MOST_BITS
        }

    def _rows(self, rows: Sequence[int]) -> dict[int, ImageRow]:
        ids = {int(self._image_ids[row]): row for row in rows}
        found = self._catalog.images(self._space.collection_id, list(ids))
        return {ids[image_id]: image for image_id, image in found.items()}
