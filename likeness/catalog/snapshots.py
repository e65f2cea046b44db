"""Which index files are published for a space; the files themselves are others' business."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, insert, select, update

from likeness.catalog.engine import fetch, fetch_one, reading
from likeness.catalog.records import Head, SnapshotRow, SnapshotState
from likeness.catalog.schema import SnapshotTable, SpaceRow
from likeness.errors import CatalogError


class HeadReader:
    """Answers where a space stands; every search asks it. Thread-safe.

    What is published under one row never changes, so its manifest is read and parsed once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._current: dict[int, tuple[int, SnapshotRow]] = {}

    def head(self, collection_id: int, space_id: int) -> Head:
        """Raises CatalogError when the collection has been dropped."""
        found = fetch_one(
            self._engine,
            "SELECT c.revision, s.id FROM collections c LEFT JOIN snapshots s ON s.space_id = ? "
            "AND s.state = 'current' WHERE c.id = ?",
            [space_id, collection_id],
        )
        if found is None:
            raise CatalogError(f"collection {collection_id} has been dropped")
        revision, row_id = found
        if row_id is None:
            return Head(revision, None)
        known = self._current.get(space_id)
        if known is None or known[0] != row_id:
            with reading(self._engine) as connection:
                s = SnapshotTable
                statement = select(*s.__table__.columns).where(s.id == row_id)
                row = connection.execute(statement).one_or_none()
            if row is None:  # forgotten in between
                return self.head(collection_id, space_id)
            published = replace(_record(row), state=SnapshotState.CURRENT, reason=None)
            known = self._current[space_id] = (row_id, published)
        return Head(revision, known[1])


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
    space = select(SpaceRow.id).where(SpaceRow.id == space_id).with_for_update(key_share=True)
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
