"""Labels to clusters as they are stored: choices replayed, covers, facts and names found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import ImageRow, Space
from likeness.catalog.sorting.clusters import Members, StoredCluster
from likeness.encoders.interface import Encoder
from likeness.types import Embeddings, ImageIds, Tower
from search.clusters.choices import replay
from search.clusters.describe import Shape, facts_of, shape_of
from search.clusters.methods import Labels, compact
from search.clusters.naming import names_by_folders, names_by_words, word_vectors
from search.clusters.vocabulary import WORDS
from search.graph.keeper import SpaceVectors

_NAMED_BY = 48
_FACTS_FROM = 400


class Describer:
    """Describes clusters of one space; word_space: where words are understood, or None."""

    def __init__(
        self,
        catalog: Catalog,
        space: Space,
        word_space: Space | None,
        encoder_of: Callable[[Space], Encoder] | None,
    ) -> None:
        self._catalog, self._space = catalog, space
        self._word_space, self._encoder_of = word_space, encoder_of

    def described(
        self,
        held: SpaceVectors,
        labels: Labels,
        choices: Sequence[Mapping[str, Any]],
        words: Sequence[str],
        *,
        keep: Mapping[int, str] | None = None,
    ) -> tuple[list[StoredCluster], Members]:
        """keep: cover → name of clusters that keep the name they have."""
        chosen, names = replay(held.image_ids, held.vectors, labels, choices)
        final = compact(chosen)
        given = {
            int(final[np.flatnonzero(chosen == label)[0]]): name
            for label, name in names.items()
            if (chosen == label).any()
        }
        shape = shape_of(held.vectors, final)
        covers = [int(held.image_ids[row]) for row in shape.covers]
        kept = {n: (keep or {})[cover] for n, cover in enumerate(covers) if cover in (keep or {})}
        rows_of = self._rows_of(held.image_ids, final, shape)
        automatic = self._names(rows_of, words)
        clusters = [
            StoredCluster(
                number=number,
                name=given.get(number) or kept.get(number) or automatic[number],
                named_by_user=number in given,
                cover_id=covers[number],
                size=int(shape.sizes[number]),
                coherence=float(shape.coherence[number]),
                facts={**facts_of(rows_of[number]), "edge": float(shape.edges[number])},
                centroid=shape.centroids[number].astype(np.float16),
            )
            for number in range(len(covers))
        ]
        return clusters, Members(held.image_ids, final, shape.typicality)

    def _rows_of(self, image_ids: ImageIds, labels: Labels, shape: Shape) -> list[list[ImageRow]]:
        """Some images of each cluster, the most typical first, as the catalog knows them."""
        chosen = []
        order = np.lexsort((-shape.typicality, labels))
        starts = np.searchsorted(labels[order], np.arange(len(shape.sizes) + 1))
        for number in range(len(shape.sizes)):
            rows = order[starts[number] : starts[number + 1]]
            step = max(1, len(rows) // _FACTS_FROM)
            chosen.append([int(i) for i in image_ids[rows[::step]]])
        wanted = [image_id for ids in chosen for image_id in ids]
        found: dict[int, ImageRow] = {}
        for start in range(0, len(wanted), 5000):
            found |= self._catalog.images(self._space.collection_id, wanted[start : start + 5000])
        return [[found[i] for i in ids if i in found] for ids in chosen]

    def _names(self, rows_of: Sequence[Sequence[ImageRow]], words: Sequence[str]) -> list[str]:
        space = self._word_space
        if space is None or self._encoder_of is None or Tower.TEXT not in space.towers:
            return names_by_folders([[row.path for row in rows] for rows in rows_of])
        everything = list(dict.fromkeys([*WORDS, *words]))
        vectors = word_vectors(everything, self._encoder_of(space).embed_texts)
        middles: list[Embeddings] = []
        for rows in rows_of:
            _, found = self._catalog.vectors(space.id, [row.id for row in rows[:_NAMED_BY]])
            middles.append(found.astype(np.float32))
        return names_by_words(middles, everything, vectors)
