"""The smaller writes: gone, touched, tagged. Each under the collection's lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from likeness.catalog.collections import bump, lock, space
from likeness.catalog.engine import integers, merely
from likeness.catalog.image_reads import IS_LIVE, pages
from likeness.catalog.rows import check_name, clamp
from likeness.catalog.schema import CollectionRow, EmbeddingRow, ImageTable
from likeness.catalog.tags import delete_tags, write_tags
from likeness.errors import ImageNotFound
from likeness.types import ImageState


def mark_gone(
    connection: Connection,
    collection_id: int,
    image_ids: Sequence[int],
    reason_code: str | None = None,
) -> int:
    """The live ones among the images are gone; return how many those were.

    reason_code: a reason of its own; without, a failed image that vanished keeps its failure.
    """
    revision = lock(connection, collection_id) + 1
    values = {"state": ImageState.GONE.value, "revision": revision}
    if reason_code is not None:
        values["reason_code"] = reason_code
    n, t = 0, ImageTable
    for page in pages(image_ids):
        result = connection.execute(
            update(t)
            .where(
                merely(t.collection_id) == collection_id,
                t.id.in_(integers(connection, page)),
                IS_LIVE,
            )
            .values(values)
        )
        n += result.rowcount
    if n:
        bump(connection, collection_id, revision)
    return n


def touch(
    connection: Connection,
    collection_id: int,
    rows: Sequence[tuple[int, int | None, int | None]],
) -> None:
    """Rows (image id, size, mtime_ns) are noted where they differ from what is known."""
    if not rows:
        return
    revision = lock(connection, collection_id) + 1
    t = ImageTable
    statement = (
        update(t)
        .where(
            t.collection_id == collection_id,
            t.id == bindparam("key"),
            or_(
                t.size.is_distinct_from(bindparam("new_size")),
                t.mtime_ns.is_distinct_from(bindparam("new_mtime_ns")),
            ),
        )
        .values(size=bindparam("new_size"), mtime_ns=bindparam("new_mtime_ns"), revision=revision)
    )
    values = [
        {"key": image_id, "new_size": clamp(size), "new_mtime_ns": clamp(mtime_ns)}
        for image_id, size, mtime_ns in rows
    ]
    if connection.execute(statement, values).rowcount:
        bump(connection, collection_id, revision)


def set_tags(
    connection: Connection, collection_id: int, image_ids: Sequence[int], tags: Iterable[str]
) -> None:
    names = _checked(tags)
    revision = _mark(connection, collection_id, image_ids)
    for page in pages(image_ids):
        delete_tags(connection, page, None)
    write_tags(connection, ((i, tag) for i in image_ids for tag in names))
    bump(connection, collection_id, revision)


def add_tags(
    connection: Connection, collection_id: int, image_ids: Sequence[int], tags: Iterable[str]
) -> None:
    names = _checked(tags)
    revision = _mark(connection, collection_id, image_ids)
    write_tags(connection, ((i, tag) for i in image_ids for tag in names))
    bump(connection, collection_id, revision)


def remove_tags(
    connection: Connection, collection_id: int, image_ids: Sequence[int], tags: Iterable[str]
) -> None:
    names = _checked(tags)
    revision = _mark(connection, collection_id, image_ids)
    for page in pages(image_ids):
        delete_tags(connection, page, names)
    bump(connection, collection_id, revision)


def forget_embeddings(connection: Connection, space_id: int, image_ids: Sequence[int]) -> int:
    """The images have no embedding in the space; return how many had one."""
    collection_id = space(connection, space_id).collection_id
    revision = lock(connection, collection_id) + 1
    e, n = EmbeddingRow, 0
    for page in pages(image_ids):
        ids = integers(connection, page)
        result = connection.execute(delete(e).where(e.space_id == space_id, e.image_id.in_(ids)))
        n += result.rowcount
    if n:
        bump(connection, collection_id, revision)
    return n


def _checked(tags: Iterable[str]) -> list[str]:
    return sorted({check_name(tag, "tag") for tag in tags})


def _mark(connection: Connection, collection_id: int, image_ids: Sequence[int]) -> int:
    """Lock the collection and mark the images as changed; return the new revision."""
    revision = lock(connection, collection_id) + 1
    t = ImageTable
    for page in pages(image_ids):
        here = (merely(t.collection_id) == collection_id, t.id.in_(integers(connection, page)))
        found = set(connection.execute(select(t.id).where(*here)).scalars())
        if missing := set(page) - found:
            name = connection.execute(
                select(CollectionRow.name).where(CollectionRow.id == collection_id)
            ).scalar_one()
            raise ImageNotFound(min(missing), name)
        connection.execute(update(t).where(*here).values(revision=revision))
    return revision
