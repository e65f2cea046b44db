"""The graph of a space, fresh: loaded, brought up to date with the catalog, stored again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Space
from likeness.errors import SnapshotDamaged
from likeness.types import ImageIds, StoredVectors
from search.graph.build import DEFAULT_K, build_graph, extend_graph
from search.graph.graph import NeighbourGraph
from search.graph.store import FILE_NAME, load_graph, save_graph

_log = logging.getLogger(__name__)
_HELD_BYTES = 1 << 29


@dataclass(frozen=True, slots=True)
class SpaceVectors:
    """What a space held at a revision. image_ids: int64 [n] ascending; vectors: float16 [n, d]."""

    image_ids: ImageIds
    vectors: StoredVectors
    revision: int


@contextmanager
def space_vectors(catalog: Catalog, space: Space) -> Iterator[SpaceVectors]:
    """All vectors of ready images: in memory up to 512 MiB, else in a temporary mapped file."""
    revision = catalog.head(space.collection_id, space.id).revision
    with TemporaryDirectory(prefix="likeness-vectors-") as folder:
        ids: list[ImageIds] = []
        held: list[StoredVectors] = []
        path = Path(folder) / "vectors"
        with path.open("wb") as file:
            for image_ids, vectors in catalog.stream_vectors(space.id, up_to_revision=revision):
                ids.append(image_ids)
                held.append(vectors)
                if sum(part.nbytes for part in held) > _HELD_BYTES or file.tell():
                    for part in held:
                        file.write(np.ascontiguousarray(part).data)
                    held = []
            spilt = file.tell() > 0
        all_ids = np.concatenate(ids) if ids else np.empty(0, dtype=np.int64)
        shape = (len(all_ids), space.dim)
        if spilt:
            rows: StoredVectors = np.memmap(path, dtype=np.float16, mode="r", shape=shape)
        else:
            rows = np.concatenate(held) if held else np.empty(shape, dtype=np.float16)
        yield SpaceVectors(all_ids, rows, revision)


def current_graph(
    space: Space,
    held: SpaceVectors,
    directory: Path,
    *,
    k: int = DEFAULT_K,
    device: str = "cpu",
) -> NeighbourGraph:
    """The graph of these vectors: from the file beside the snapshot, updated or built anew.

    directory: where the snapshots of the space lie. A damaged or foreign file is reported in the
    log and replaced; it is derived, nothing is lost.
    """
    path = directory / FILE_NAME
    stored = _stored(path, space, k)
    if stored is None:
        graph = build_graph(
            held.image_ids,
            held.vectors,
            fingerprint=space.fingerprint,
            revision=held.revision,
            k=k,
            device=device,
        )
    elif np.array_equal(stored.image_ids, held.image_ids):
        return stored
    else:
        graph = extend_graph(
            stored, held.image_ids, held.vectors, revision=held.revision, device=device
        )
    save_graph(graph, path)
    return graph


def _stored(path: Path, space: Space, k: int) -> NeighbourGraph | None:
    try:
        graph = load_graph(path)
    except SnapshotDamaged as damage:
        _log.warning("%s: %s; it is computed anew", damage.path, damage.reason)
        return None
    if graph is None or graph.fingerprint != space.fingerprint or graph.k < k:
        return None
    return graph
