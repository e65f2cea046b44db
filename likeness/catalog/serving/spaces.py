"""Every space there is, by one small query: counting images, as summaries do, takes its time."""

from __future__ import annotations

from sqlalchemy import select

from likeness.catalog import Catalog
from likeness.catalog.engine import reading
from likeness.catalog.records import Space
from likeness.catalog.rows import space_record
from likeness.catalog.schema import CollectionRow, SpaceRow


def all_spaces(catalog: Catalog) -> list[Space]:
    """The spaces of every collection, oldest first."""
    with reading(catalog.engine) as connection:
        statement = select(*SpaceRow.__table__.columns).order_by(SpaceRow.id)
        return [space_record(row) for row in connection.execute(statement)]


def named_spaces(catalog: Catalog) -> list[tuple[str, Space]]:
    """The spaces of every collection with its name, oldest first."""
    with reading(catalog.engine) as connection:
        statement = select(CollectionRow.id, CollectionRow.name)
        names = {row.id: row.name for row in connection.execute(statement)}
    # One that was made between the two reads is told of next time.
    known = (space for space in all_spaces(catalog) if space.collection_id in names)
    return [(names[space.collection_id], space) for space in known]
