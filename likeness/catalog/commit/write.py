"""Writing what was decided, in the order that the unique keys allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from likeness.catalog.chunks import encode_chunk, split
from likeness.catalog.commit.touched import Image, NewVector, OldVector
from likeness.catalog.engine import integers, take_ids
from likeness.catalog.rows import FACT_COLUMNS, field_values
from likeness.catalog.schema import ChunkRow, EmbeddingRow, FieldRow, ImageTable
from likeness.catalog.tags import tags_of, write_tags
from likeness.types import ImageState, StoredVectors


def write(
    connection: Connection,
    collection_id: int,
    images: Iterable[Image],
    vectors: Mapping[int, StoredVectors],
    revision: int,
) -> None:
    """Write the changed images, their vectors, embeddings, columns and tags under revision."""
    changed = [image for image in images if image.is_changed]
    old = [image for image in changed if image.id is not None]
    new = [image for image in changed if image.id is None]
    _update_images(connection, old, revision)
    _insert_images(connection, collection_id, new, revision)
    _write_embeddings(connection, changed, vectors, revision)
    _write_fields(connection, changed)
    _copy_tags(connection, changed)


def _update_images(connection: Connection, images: list[Image], revision: int) -> None:
    t = ImageTable
    # Places are freed before they are taken: first by moves, then by those that are gone.
    moving = [{"key": i.id, "uri": f"moving:{i.id}"} for i in images if "uri" in i.changes]
    if moving:
        statement = update(t).where(t.id == bindparam("key"))
        values = {"uri": bindparam("uri"), "state": ImageState.GONE.value}
        connection.execute(statement.values(values), moving)
    by_columns: dict[tuple[bool, tuple[str, ...]], list[dict[str, Any]]] = defaultdict(list)
    for image in images:
        changes = dict(image.changes)
        if "uri" in changes:
            changes["state"] = image.state.value
        by_columns[image.is_live, tuple(sorted(changes))].append({"key": image.id, **changes})
    for (_, columns), rows in sorted(by_columns.items(), key=lambda entry: entry[0]):
        columns_to: dict[str, Any] = {name: bindparam(name) for name in columns}
        columns_to["revision"] = revision
        connection.execute(update(t).where(t.id == bindparam("key")).values(columns_to), rows)


def _insert_images(
    connection: Connection, collection_id: int, images: list[Image], revision: int
) -> None:
    if not images:
        return
    copied = _facts_of(connection, [i.facts_from for i in images if i.facts_from is not None])
    now = datetime.now(UTC)
    no_facts = dict.fromkeys(FACT_COLUMNS)
    rows = []
    for image, image_id in zip(images, take_ids(connection, "images", len(images)), strict=True):
        image.id = image_id
        rows.append(
            {
                "id": image_id,
                "collection_id": collection_id,
                "revision": revision,
                "uri": image.uri,
                "sha256": image.sha256,
                "path": image.path,
                "path_folded": "",
                "size": image.size,
                "mtime_ns": image.mtime_ns,
                "added_at": now,
                **no_facts,
                **(copied[image.facts_from.id] if image.facts_from is not None else {}),
                **image.changes,
            }
        )
    connection.execute(insert(ImageTable), rows)


def _facts_of(connection: Connection, images: list[Image]) -> dict[int | None, dict[str, Any]]:
    if not images:
        return {}
    t = ImageTable
    ids = integers(connection, [image.id for image in images if image.id is not None])
    columns = [getattr(t, name) for name in FACT_COLUMNS]
    rows = connection.execute(select(t.id, *columns).where(t.id.in_(ids)))
    return {row.id: dict(zip(FACT_COLUMNS, row[1:], strict=True)) for row in rows}


def _write_embeddings(
    connection: Connection,
    images: list[Image],
    vectors: Mapping[int, StoredVectors],
    revision: int,
) -> None:
    places = _write_chunks(connection, images, vectors, revision)
    e = EmbeddingRow
    rows = []
    for image in images:
        for space_id, vector in image.embeddings.items():
            place = vector if isinstance(vector, OldVector) else places[space_id, vector.row]
            rows.append(
                {
                    "space_id": space_id,
                    "image_id": image.id,
                    "chunk_id": place.chunk_id,
                    "slot": place.slot,
                    "revision": revision,
                }
            )
    returned = [
        image.id
        for image in images
        if image.returned and image.id is not None and image.spaces - image.embeddings.keys()
    ]
    if returned:
        ids = integers(connection, returned)
        connection.execute(update(e).where(e.image_id.in_(ids)).values(revision=revision))
    if rows:
        connection.execute(insert(e), rows)


def _write_chunks(
    connection: Connection,
    images: list[Image],
    vectors: Mapping[int, StoredVectors],
    revision: int,
) -> dict[tuple[int, int], OldVector]:
    """Store each new vector once; return (space id, row of the batch's array) → its place."""
    rows_of: dict[int, dict[int, None]] = defaultdict(dict)  # insertion-ordered sets
    for image in images:
        for space_id, vector in image.embeddings.items():
            if isinstance(vector, NewVector):
                rows_of[space_id][vector.row] = None
    places = {}
    for space_id, row_set in rows_of.items():
        rows, chunks = list(row_set), []
        spans = list(split(len(rows)))
        ids = take_ids(connection, "chunks", len(spans))
        for chunk_id, (start, stop) in zip(ids, spans, strict=True):
            data, checksum = encode_chunk(vectors[space_id][rows[start:stop]])
            chunks.append(
                {
                    "id": chunk_id,
                    "space_id": space_id,
                    "revision": revision,
                    "vectors": stop - start,
                    "checksum": checksum,
                    "data": data,
                }
            )
            for slot, row in enumerate(rows[start:stop]):
                places[space_id, row] = OldVector(chunk_id, slot)
        # Within the loop, since on SQLite the ids taken are free until they are inserted.
        connection.execute(insert(ChunkRow), chunks)
    return places


def _write_fields(connection: Connection, images: list[Image]) -> None:
    rewritten = [image for image in images if image.fields_changed]
    if not rewritten:
        return
    ids = [image.id for image in rewritten if image.id is not None]
    f = FieldRow
    connection.execute(delete(f).where(f.image_id.in_(integers(connection, ids))))
    rows = [
        row
        for image in rewritten
        if image.id is not None
        for row in field_values(image.id, image.fields)
    ]
    connection.execute(insert(f), rows)


def _copy_tags(connection: Connection, images: list[Image]) -> None:
    heirs = [image for image in images if image.tags_from]
    if not heirs:
        return
    donors = [donor.id for heir in heirs for donor in heir.tags_from if donor.id is not None]
    tags = tags_of(connection, donors)
    pairs = [
        (heir.id, tag)
        for heir in heirs
        if heir.id is not None
        for donor in heir.tags_from
        if donor.id is not None
        for tag in tags.get(donor.id, ())
    ]
    write_tags(connection, pairs)
