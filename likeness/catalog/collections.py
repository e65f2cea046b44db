"""Collections and their spaces."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from likeness.catalog.image_reads import counts
from likeness.catalog.records import (
    Collection,
    CollectionSummary,
    Space,
    SpaceState,
    SpaceSummary,
)
from likeness.catalog.rows import check_name, collection_record, space_record
from likeness.catalog.schema import (
    ChunkRow,
    CollectionRow,
    EmbeddingRow,
    FieldRow,
    ImageTable,
    SnapshotTable,
    SpaceRow,
    TagRow,
)
from likeness.errors import CatalogError, CollectionNotFound
from likeness.types import ImageState, Tower


def create_collection(connection: Connection, name: str) -> Collection:
    values = {
        "name": check_name(name, "collection name"),
        "revision": 0,
        "created_at": datetime.now(UTC),
    }
    _insert_unless_there(connection, CollectionRow, values)
    return collection(connection, name)


def collection(connection: Connection, name: str) -> Collection:
    c = CollectionRow
    row = connection.execute(select(*c.__table__.columns).where(c.name == name)).one_or_none()
    if row is None:
        known = connection.execute(select(c.name).order_by(c.name)).scalars().all()
        raise CollectionNotFound(name, known)
    return collection_record(row)


def summaries(connection: Connection) -> list[CollectionSummary]:
    c = CollectionRow
    rows = connection.execute(select(*c.__table__.columns).order_by(c.name)).all()
    return [
        CollectionSummary(
            collection_record(row),
            counts(connection, row.id),
            tuple(_summary(connection, space) for space in spaces(connection, row.id)),
        )
        for row in rows
    ]


def _summary(connection: Connection, space: Space) -> SpaceSummary:
    e, t, k = EmbeddingRow, ImageTable, ChunkRow
    # By subtraction: counting is quick, and few embeddings belong to images that are not ready.
    everything = connection.execute(
        select(func.count()).select_from(e).where(e.space_id == space.id)
    ).scalar_one()
    hidden = connection.execute(
        select(func.count())
        .select_from(t)
        .join(e, and_(e.image_id == t.id, e.space_id == space.id))
        .where(
            t.collection_id == space.collection_id,
            t.state.in_([state.value for state in ImageState if state is not ImageState.READY]),
        )
    ).scalar_one()
    vectors = connection.execute(
        select(func.coalesce(func.sum(k.vectors), 0)).where(k.space_id == space.id)
    ).scalar_one()
    return SpaceSummary(space, everything - hidden, 2 * space.dim * int(vectors))


def drop_collection(connection: Connection, name: str) -> None:
    """Nothing of the collection is left. Children first, set by set, not row by row."""
    dropped = collection(connection, name)
    lock(connection, dropped.id)
    space_ids = select(SpaceRow.id).where(SpaceRow.collection_id == dropped.id)
    image_ids = select(ImageTable.id).where(ImageTable.collection_id == dropped.id)
    for statement in (
        delete(SnapshotTable).where(SnapshotTable.space_id.in_(space_ids)),
        delete(EmbeddingRow).where(EmbeddingRow.space_id.in_(space_ids)),
        delete(ChunkRow).where(ChunkRow.space_id.in_(space_ids)),
        delete(SpaceRow).where(SpaceRow.collection_id == dropped.id),
        delete(TagRow).where(TagRow.image_id.in_(image_ids)),
        delete(FieldRow).where(FieldRow.image_id.in_(image_ids)),
        delete(ImageTable).where(ImageTable.collection_id == dropped.id),
        delete(CollectionRow).where(CollectionRow.id == dropped.id),
    ):
        connection.execute(statement)


def ensure_space(
    connection: Connection,
    collection_id: int,
    *,
    encoder: str,
    fingerprint: str,
    dim: int,
    towers: frozenset[Tower],
    state: SpaceState = SpaceState.ACTIVE,
) -> Space:
    values = {
        "collection_id": collection_id,
        "encoder": encoder,
        "fingerprint": fingerprint,
        "dim": dim,
        "towers": ",".join(sorted(tower.value for tower in towers)),
        "state": state.value,
        "created_at": datetime.now(UTC),
    }
    _insert_unless_there(connection, SpaceRow, values)
    s = SpaceRow
    row = connection.execute(
        select(*s.__table__.columns).where(
            s.collection_id == collection_id, s.fingerprint == fingerprint
        )
    ).one()
    space = space_record(row)
    if space.dim != dim:
        raise CatalogError(
            f"space {space.encoder} holds vectors of {space.dim} numbers, not {dim}, under the "
            "same fingerprint; the catalog or the encoder is broken"
        )
    return space


def spaces(connection: Connection, collection_id: int) -> list[Space]:
    s = SpaceRow
    statement = select(*s.__table__.columns).where(s.collection_id == collection_id).order_by(s.id)
    return [space_record(row) for row in connection.execute(statement)]


def space(connection: Connection, space_id: int) -> Space:
    s = SpaceRow
    row = connection.execute(select(*s.__table__.columns).where(s.id == space_id)).one_or_none()
    if row is None:
        raise CatalogError(f"there is no space {space_id}")
    return space_record(row)


def lock(connection: Connection, collection_id: int) -> int:
    """Hold the collection's row until the transaction ends; return its revision.

    Raises CatalogError when it has been dropped.
    """
    c = CollectionRow
    statement = select(c.revision).where(c.id == collection_id).with_for_update(key_share=True)
    revision = connection.execute(statement).scalar()
    if revision is None:
        raise CatalogError(f"collection {collection_id} has been dropped")
    return revision


def bump(connection: Connection, collection_id: int, revision: int) -> None:
    """Set the locked collection's revision."""
    c = CollectionRow
    connection.execute(update(c).where(c.id == collection_id).values(revision=revision))


def _insert_unless_there(connection: Connection, table: Any, values: dict[str, Any]) -> None:
    insert_into = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    connection.execute(insert_into(table).values(values).on_conflict_do_nothing())
