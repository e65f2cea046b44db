"""Which spaces answer: switched all at once, and dropped when they no longer may."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, update

from likeness.catalog import collections as collection_rows
from likeness.catalog.catalog import Catalog
from likeness.catalog.engine import writing
from likeness.catalog.records import SpaceState
from likeness.catalog.schema import ChunkRow, EmbeddingRow, SnapshotTable, SpaceRow
from likeness.errors import CatalogError


def switch_spaces(
    catalog: Catalog,
    collection_id: int,
    states: Mapping[int, SpaceState],
    *,
    expected: Mapping[int, SpaceState],
) -> bool:
    """Spaces get new states in one transaction, if all those expected have theirs still.

    states, expected: space id → state. Whether it was done. The collection's revision moves, so
    that readers notice. Raises CatalogError for a space that the collection does not have.
    """
    with writing(catalog.engine) as connection:
        revision = collection_rows.lock(connection, collection_id) + 1
        now = {each.id: each.state for each in collection_rows.spaces(connection, collection_id)}
        if unknown := (set(states) | set(expected)) - set(now):
            raise CatalogError(f"collection {collection_id} has no space {min(unknown)}")
        if any(now[space_id] is not state for space_id, state in expected.items()):
            return False
        for space_id, state in states.items():
            connection.execute(
                update(SpaceRow).where(SpaceRow.id == space_id).values(state=state.value)
            )
        collection_rows.bump(connection, collection_id, revision)
        return True


def drop_space(catalog: Catalog, space_id: int) -> None:
    """A space's embeddings and snapshots are gone for good. CatalogError while it is active."""
    with writing(catalog.engine) as connection:
        doomed = collection_rows.space(connection, space_id)
        revision = collection_rows.lock(connection, doomed.collection_id) + 1
        if collection_rows.space(connection, space_id).state is SpaceState.ACTIVE:
            raise CatalogError(f"space {doomed.encoder} answers queries; retire it before it goes")
        for statement in (
            delete(SnapshotTable).where(SnapshotTable.space_id == space_id),
            delete(EmbeddingRow).where(EmbeddingRow.space_id == space_id),
            delete(ChunkRow).where(ChunkRow.space_id == space_id),
            delete(SpaceRow).where(SpaceRow.id == space_id),
        ):
            connection.execute(statement)
        collection_rows.bump(connection, doomed.collection_id, revision)
