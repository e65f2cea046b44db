"""Tags: words that people, or programs on their behalf, put on images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from sqlalchemy import Connection, Select, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from likeness.catalog.engine import bound_integers, integers, listed, strings
from likeness.catalog.folding import fold
from likeness.catalog.schema import TagRow


def tags_of(connection: Connection, image_ids: Sequence[int]) -> dict[int, set[str]]:
    """Return the tags of those images that have any."""
    found: dict[int, set[str]] = {}
    statement = _by_id(connection.dialect.name)
    for image_id, tag in connection.execute(statement, listed(connection, image_ids)):
        found.setdefault(image_id, set()).add(tag)
    return found


@cache
def _by_id(dialect: str) -> Select[int, str]:
    return select(TagRow.image_id, TagRow.tag).where(TagRow.image_id.in_(bound_integers(dialect)))


def write_tags(connection: Connection, pairs: Iterable[tuple[int, str]]) -> None:
    """The images have the tags, besides those that they had."""
    rows = [
        {"image_id": image_id, "tag": tag, "tag_folded": fold(tag)} for image_id, tag in set(pairs)
    ]
    if not rows:
        return
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    connection.execute(insert(TagRow).on_conflict_do_nothing(), rows)


def delete_tags(
    connection: Connection, image_ids: Sequence[int], tags: Sequence[str] | None
) -> None:
    """The images do not have the tags; None: they have no tags."""
    statement = delete(TagRow).where(TagRow.image_id.in_(integers(connection, image_ids)))
    if tags is not None:
        statement = statement.where(TagRow.tag.in_(strings(connection, tags)))
    connection.execute(statement)
