"""A removed copy leaves what was known of it to the image that is kept; and takes it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from likeness.catalog import Catalog
from likeness.catalog.changes import mark_gone
from likeness.catalog.collections import bump, lock
from likeness.catalog.engine import reading, writing
from likeness.catalog.schema import EmbeddingRow, FieldRow, ImageTable
from likeness.catalog.tags import delete_tags, tags_of, write_tags
from likeness.types import ImageState

_TOGETHER: tuple[tuple[str, ...], ...] = (
    ("taken_at",),
    ("camera_make", "camera_model", "make_folded", "model_folded", "camera_folded"),
    ("lens", "lens_folded"),
    ("latitude", "longitude"),
)
"""Columns that mean something only together; the first tells whether the fact is known."""


class CatalogBooks:
    """Keeps a collection in step with a plan being applied or undone (`apply.Bookkeeper`)."""

    def __init__(self, catalog: Catalog, collection_id: int) -> None:
        self._engine = catalog.engine
        self._collection_id = collection_id

    def removed(self, image_id: int, kept_id: int) -> Mapping[str, Any]:
        """image_id is gone; kept_id has its tags, its list columns and the facts that it lacked.

        Returns what kept_id did not have before, for `restored`.
        """
        with writing(self._engine) as connection:
            revision = lock(connection, self._collection_id) + 1
            merged = {
                "tags": self._merge_tags(connection, image_id, kept_id),
                "fields": self._merge_fields(connection, image_id, kept_id),
                "facts": self._merge_facts(connection, image_id, kept_id),
            }
            if any(merged.values()):
                self._touch(connection, kept_id, revision)
            mark_gone(connection, self._collection_id, [image_id])
        return merged

    def restored(self, image_id: int, kept_id: int, merged: Mapping[str, Any]) -> None:
        """image_id answers again; what `removed` gave to kept_id is taken back."""
        t = ImageTable
        with writing(self._engine) as connection:
            revision = lock(connection, self._collection_id) + 1
            tags, fields, facts = (merged.get(key) or [] for key in ("tags", "fields", "facts"))
            if tags:
                delete_tags(connection, [kept_id], list(tags))
            if fields:
                connection.execute(
                    delete(FieldRow).where(
                        FieldRow.image_id == kept_id, FieldRow.name.in_(list(fields))
                    )
                )
            if facts:
                connection.execute(update(t).where(t.id == kept_id).values(dict.fromkeys(facts)))
            if tags or fields or facts:
                self._touch(connection, kept_id, revision)
            connection.execute(
                update(t)
                .where(
                    t.id == image_id,
                    t.collection_id == self._collection_id,
                    t.state == ImageState.GONE.value,
                )
                .values(state=ImageState.READY.value, reason_code=None, revision=revision)
            )
            # A revived image's embeddings count as new, so that every reader's tail sees them.
            connection.execute(
                update(EmbeddingRow)
                .where(EmbeddingRow.image_id == image_id)
                .values(revision=revision)
            )
            bump(connection, self._collection_id, revision)

    def still_ready(self, image_id: int) -> bool:
        """Whether the image answers searches."""
        with reading(self._engine) as connection:
            state = connection.execute(
                select(ImageTable.state).where(ImageTable.id == image_id)
            ).scalar_one_or_none()
        return bool(state == ImageState.READY.value)

    def _touch(self, connection: Connection, image_id: int, revision: int) -> None:
        connection.execute(
            update(ImageTable).where(ImageTable.id == image_id).values(revision=revision)
        )
        bump(connection, self._collection_id, revision)

    @staticmethod
    def _merge_tags(connection: Connection, image_id: int, kept_id: int) -> list[str]:
        found = tags_of(connection, [image_id, kept_id])
        lacking = sorted(found.get(image_id, set()) - found.get(kept_id, set()))
        write_tags(connection, ((kept_id, tag) for tag in lacking))
        return lacking

    @staticmethod
    def _merge_fields(connection: Connection, image_id: int, kept_id: int) -> list[str]:
        f = FieldRow
        have = set(connection.execute(select(f.name).where(f.image_id == kept_id)).scalars())
        columns = (f.name, f.text, f.text_folded, f.number, f.is_number)
        theirs = connection.execute(select(*columns).where(f.image_id == image_id)).all()
        rows = [{**row._asdict(), "image_id": kept_id} for row in theirs if row.name not in have]
        if rows:
            connection.execute(insert(f), rows)
        return sorted(row["name"] for row in rows)

    @staticmethod
    def _merge_facts(connection: Connection, image_id: int, kept_id: int) -> list[str]:
        t = ImageTable.__table__
        columns = [t.c[name] for group in _TOGETHER for name in group]
        rows = {
            row.id: row._asdict()
            for row in connection.execute(
                select(t.c.id, *columns).where(t.c.id.in_([image_id, kept_id]))
            )
        }
        if image_id not in rows or kept_id not in rows:
            return []
        theirs, own = rows[image_id], rows[kept_id]
        given = {
            name: theirs[name]
            for group in _TOGETHER
            if theirs[group[0]] is not None and all(own[each] is None for each in group)
            for name in group
            if theirs[name] is not None
        }
        if given:
            connection.execute(update(ImageTable).where(ImageTable.id == kept_id).values(**given))
        return sorted(given)
