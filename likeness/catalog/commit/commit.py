"""The one transaction that stores a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, select

from likeness.catalog.chunks import check_vectors
from likeness.catalog.collections import bump, lock
from likeness.catalog.commit.decide import decide
from likeness.catalog.commit.touched import Touched
from likeness.catalog.commit.write import write
from likeness.catalog.records import (
    Batch,
    BatchItem,
    CommitResult,
    Failed,
    Filled,
    Linked,
    Moved,
    Stored,
)
from likeness.catalog.schema import SpaceRow
from likeness.errors import CatalogError
from likeness.types import StoredVectors

_LIST_OF: Mapping[type[BatchItem], str] = {
    Stored: "stored",
    Linked: "linked",
    Moved: "moved",
    Failed: "failed",
    Filled: "filled",
}


def commit_batch(connection: Connection, collection_id: int, batch: Batch) -> CommitResult:
    """Store the batch; see `Catalog.commit_batch`. connection: in a writing transaction."""
    revision = lock(connection, collection_id)
    vectors = _checked_vectors(connection, collection_id, batch)
    touched = Touched(connection, collection_id, batch.items)
    outcomes = decide(touched, batch.items, vectors)
    if any(image.is_changed for image in touched.images):
        revision += 1
        bump(connection, collection_id, revision)
        write(connection, collection_id, touched.images, vectors, revision)
    lists: dict[str, list[int]] = defaultdict(list)
    for item, (image, changed) in zip(batch.items, outcomes, strict=True):
        if image.id is None:
            raise CatalogError(f"{image.uri} was decided upon, but not written")
        lists[_LIST_OF[type(item)] if changed else "skipped"].append(image.id)
    return CommitResult(revision, **{name: tuple(ids) for name, ids in lists.items()})


def _checked_vectors(
    connection: Connection, collection_id: int, batch: Batch
) -> dict[int, StoredVectors]:
    rows = [item.vector for item in batch.items if isinstance(item, Stored | Filled)]
    if rows and not batch.vectors:
        raise ValueError("a batch with Stored or Filled items needs vectors")
    if not batch.vectors:
        return {}
    statement = select(SpaceRow.id, SpaceRow.dim, SpaceRow.encoder).where(
        SpaceRow.collection_id == collection_id
    )
    spaces = {row.id: row for row in connection.execute(statement)}
    checked = {}
    for space_id, vectors in batch.vectors.items():
        if space_id not in spaces:
            raise CatalogError(f"space {space_id} is not one of this collection's")
        space = spaces[space_id]
        checked[space_id] = check_vectors(vectors, space.dim, space=f"space {space.encoder}")
        if rows and not 0 <= min(rows) <= max(rows) < len(vectors):
            raise ValueError(f"items name vectors {min(rows)} to {max(rows)} of {len(vectors)}")
    return checked
