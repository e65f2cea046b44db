"""What people want of the images of a group of copies: to keep this one, to remove that one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from likeness.catalog import Catalog
from likeness.catalog.engine import integers, reading, writing
from likeness.catalog.image_reads import pages
from likeness.catalog.schema import ImageTable
from likeness.catalog.sorting.schema import CopyVerdictRow
from likeness.types import ImageState


class Verdict(StrEnum):
    """Of an image among its copies."""

    KEEP = "keep"
    REMOVE = "remove"


class CopyVerdicts:
    """The catalog's memory of these verdicts, by image id. Each call: one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    def set(self, verdicts: Mapping[int, Verdict | None]) -> None:
        """Each image has this verdict, or none (None)."""
        v = CopyVerdictRow
        now = datetime.now(UTC)
        rows = [
            {"image_id": image_id, "verdict": verdict.value, "made_at": now}
            for image_id, verdict in verdicts.items()
            if verdict is not None
        ]
        cleared = [image_id for image_id, verdict in verdicts.items() if verdict is None]
        if not verdicts:
            return
        with writing(self._engine) as connection:
            insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
            if rows:
                statement = insert(v)
                statement = statement.on_conflict_do_update(
                    index_elements=["image_id"],
                    set_={
                        "verdict": statement.excluded.verdict,
                        "made_at": statement.excluded.made_at,
                    },
                )
                connection.execute(statement, rows)
            for page in pages(cleared):
                connection.execute(delete(v).where(v.image_id.in_(integers(connection, page))))

    def of(self, collection_id: int) -> dict[int, Verdict]:
        """Every verdict on a ready image of the collection."""
        t, v = ImageTable, CopyVerdictRow
        statement = (
            select(v.image_id, v.verdict)
            .join(t, t.id == v.image_id)
            .where(t.collection_id == collection_id, t.state == ImageState.READY.value)
        )
        with reading(self._engine) as connection:
            return {
                image_id: Verdict(verdict) for image_id, verdict in connection.execute(statement)
            }

    def stamp(self) -> tuple[int, datetime | None]:
        """Changes whenever a verdict does: how many there are and when the last was given."""
        v = CopyVerdictRow
        with reading(self._engine) as connection:
            row = connection.execute(select(func.count(), func.max(v.made_at))).one()
        return int(row[0]), row[1]
