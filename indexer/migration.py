"""From one encoder to another without a moment without answers: blue/green, with a way back.

The new space is filled beside the one that serves, which may be stopped and go on; then both are
asked the same stored images and how far their answers agree is reported; then one transaction
makes the new one active and retires the old one, which is kept until it is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.publish import sweep
from likeness.catalog import Catalog
from likeness.catalog.records import Collection, Space, SpaceState
from likeness.catalog.space_states import drop_space, switch_spaces
from likeness.errors import InputError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.exact import ExactIndex
from likeness.vectors.index import NO_ID

_SAMPLE = 100
_DEPTHS = (1, 10, 100)
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two spaces give the same nearest images to the same stored images.

    shared: depth k → mean share of the k nearest that both give, 0 to 1. queries: how many were
    asked. images: how many they chose from. least: the image id whose ten nearest agree least.
    """

    shared: dict[int, float]
    queries: int
    images: int
    least: int | None

    def as_dict(self) -> dict[str, object]:
        return {
            "shared": {f"@{k}": round(share, 4) for k, share in self.shared.items()},
            "queries": self.queries,
            "images": self.images,
            "least": self.least,
        }


def agreement(catalog: Catalog, old: Space, new: Space, *, sample: int = _SAMPLE) -> Agreement:
    """Compare two spaces of a collection exactly, over the images that both hold.

    Memory: the sample's vectors and one block of each space.
    """
    collection_id = old.collection_id
    ready = catalog.filter_ids(collection_id)
    random = np.random.default_rng(0)
    chosen = np.sort(random.choice(ready, min(sample, len(ready)), replace=False))
    held, _ = catalog.vectors(new.id, chosen)
    chosen = np.intersect1d(catalog.vectors(old.id, held)[0], held)
    depth = max(_DEPTHS)
    first, images = _nearest(catalog, old, chosen, depth)
    second, _ = _nearest(catalog, new, chosen, depth)
    shared: dict[int, float] = {}
    least: int | None = None
    for k in _DEPTHS:
        shares = [_share(a[:k], b[:k]) for a, b in zip(first, second, strict=True)]
        if shares:
            shared[k] = float(np.mean(shares))
            if k == 10:
                least = int(chosen[int(np.argmin(shares))])
    return Agreement(shared, len(chosen), images, least)


def switch(catalog: Catalog, collection: Collection, old: Sequence[Space], new: Space) -> None:
    """The new space answers from now on, the old ones are kept and do not; one transaction.

    Raises InputError when another process changed their states meanwhile.
    """
    done = switch_spaces(
        catalog,
        collection.id,
        {new.id: SpaceState.ACTIVE, **{space.id: SpaceState.RETIRED for space in old}},
        expected={new.id: new.state, **{space.id: space.state for space in old}},
    )
    if not done:
        raise InputError(
            f"the spaces of {collection.name!r} were switched by another process meanwhile; "
            "`likeness status` shows which one answers"
        )


def roll_back(catalog: Catalog, collection_name: str, encoder_name: str) -> None:
    """A retired space answers again, in place of those that do now.

    Raises InputError when there is no retired space of that encoder, or when images were added
    since that it lacks.
    """
    collection = catalog.collection(collection_name)
    spaces = catalog.spaces(collection.id)
    kept = [s for s in spaces if s.encoder == encoder_name and s.state is SpaceState.RETIRED]
    if not kept:
        have = ", ".join(f"{s.encoder} ({s.state})" for s in spaces)
        raise InputError(
            f"collection {collection.name!r} keeps no retired space of {encoder_name} "
            f"(spaces: {have})"
        )
    if catalog.missing_in_space(collection.id, kept[-1].id, 0, 1):
        raise InputError(
            f"images were added since {encoder_name} was retired; embed them first with "
            f"`likeness migrate --collection {collection.name} --to {encoder_name}`"
        )
    active = [s for s in spaces if s.state is SpaceState.ACTIVE]
    switch(catalog, collection, active, kept[-1])


def forget_retired(
    catalog: Catalog, collection_name: str, index_dir: Callable[[Space], Path], server: str = ""
) -> list[str]:
    """The retired spaces' embeddings and indexes are gone for good; their encoders.

    index_dir, server: where their indexes are, see `indexer.publish`.
    """
    dropped = []
    for space in catalog.spaces(catalog.collection(collection_name).id):
        if space.state is SpaceState.RETIRED:
            drop_space(catalog, space.id)
            directory = index_dir(space)
            if directory.is_dir():
                sweep(catalog, space, directory, server=server)
            dropped.append(space.encoder)
    return dropped


def _nearest(
    catalog: Catalog, space: Space, image_ids: ImageIds, depth: int
) -> tuple[list[ImageIds], int]:
    """The nearest others of each image, best first, and how many images there are in the space."""
    held, rows = catalog.vectors(space.id, image_ids)
    queries = rows.astype(np.float32)
    best_ids = np.full((len(held), 0), NO_ID, dtype=np.int64)
    best_scores = np.zeros((len(held), 0), dtype=np.float32)
    count = 0
    for ids, vectors in catalog.stream_vectors(space.id, rows=_BLOCK):
        count += len(ids)
        found = _search(ids, vectors, queries, depth + 1)
        best_ids = np.concatenate([best_ids, found[0]], axis=1)
        best_scores = np.concatenate([best_scores, found[1]], axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, : depth + 1]
        best_ids = np.take_along_axis(best_ids, order, 1)
        best_scores = np.take_along_axis(best_scores, order, 1)
    others = [
        row[(row != NO_ID) & (row != own)][:depth] for row, own in zip(best_ids, held, strict=True)
    ]
    return others, count


def _search(
    ids: ImageIds, vectors: StoredVectors, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    found = ExactIndex(ids, vectors).search(queries, k)
    return found.ids, found.scores


def _share(first: ImageIds, second: ImageIds) -> float:
    return len(np.intersect1d(first, second)) / max(1, len(first), len(second))
