"""Which index files are published for a space; the files themselves are others' business."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from likeness.catalog.engine import fetch
from likeness.catalog.records import Head, SnapshotRow, SnapshotState
from likeness.catalog.schema import CollectionRow, SnapshotTable, SpaceRow
from likeness.errors import CatalogError


def head(connection: Connection, collection_id: int, space_id: int) -> Head:
    c, s = CollectionRow, SnapshotTable
    current = and_(s.space_id == space_id, s.state == SnapshotState.CURRENT.value)
    row = connection.execute(
        select(c.revision.label("head"), *s.__table__.columns)
        .outerjoin(s, current)
        .where(c.id == collection_id)
    ).one_or_none()
    if row is None:
        raise CatalogError(f"there is no collection {collection_id} any more")
    return Head(row.head, None if row.name is None else _record(row))


def publish(
    connection: Connection,
    space_id: int,
    *,
    name: str,
    revision: int,
    manifest: Mapping[str, Any],
    expected: str | None,
) -> bool:
    """Make name the current snapshot if expected still is; whether it was. Compare-and-set."""
    s = SnapshotTable
    space = select(SpaceRow.id).where(SpaceRow.id == space_id).with_for_update()
    if connection.execute(space).scalar() is None:
        raise CatalogError(f"there is no space {space_id}")
    current = and_(s.space_id == space_id, s.state == SnapshotState.CURRENT.value)
    if connection.execute(select(s.name).where(current)).scalar() != expected:
        return False
    connection.execute(update(s).where(current).values(state=SnapshotState.PREVIOUS.value))
    connection.execute(
        insert(s).values(
            space_id=space_id,
            name=name,
            state=SnapshotState.CURRENT.value,
            revision=revision,
            manifest=json.dumps(dict(manifest), sort_keys=True),
            created_at=datetime.now(UTC),
        )
    )
    return True


def snapshots(connection: Connection, space_id: int) -> list[SnapshotRow]:
    """Newest first."""
    s = SnapshotTable
    statement = select(*s.__table__.columns).where(s.space_id == space_id).order_by(s.id.desc())
    return [_record(row) for row in connection.execute(statement)]


def set_aside(connection: Connection, space_id: int, name: str, reason: str) -> None:
    s = SnapshotTable
    connection.execute(
        update(s)
        .where(s.space_id == space_id, s.name == name)
        .values(state=SnapshotState.ASIDE.value, reason=reason)
    )


def forget(connection: Connection, space_id: int, name: str) -> None:
    s = SnapshotTable
    connection.execute(delete(s).where(s.space_id == space_id, s.name == name))


def chunks_digest(connection: Connection, space_id: int, up_to_revision: int) -> str:
    """Return SHA-256, hex, over (id int64, checksum) of the covered chunks in order of id."""
    digest = hashlib.sha256()
    rows = fetch(
        connection,
        "SELECT id, checksum FROM chunks WHERE space_id = ? AND revision <= ? ORDER BY id",
        [space_id, up_to_revision],
    )
    for chunk_id, checksum in rows:
        digest.update(struct.pack("<q", chunk_id))
        digest.update(checksum)
    return digest.hexdigest()


def _record(row: Row[*tuple[Any, ...]]) -> SnapshotRow:
    return SnapshotRow(
        name=row.name,
        space_id=row.space_id,
        state=SnapshotState(row.state),
        revision=row.revision,
        manifest=json.loads(row.manifest),
        created_at=row.created_at,
        reason=row.reason,
    )
