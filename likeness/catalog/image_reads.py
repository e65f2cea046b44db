"""Reading what is known of images: for scans, for lists and for answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    func,
    literal,
    select,
)

from likeness.catalog.engine import (
    bound_integers,
    byte_strings,
    fetch,
    integers,
    listed,
    merely,
    strings,
)
from likeness.catalog.records import Counts, FieldValue, ImageRow, KnownImage
from likeness.catalog.rows import image_record, known_record
from likeness.catalog.schema import EmbeddingRow, FieldRow, ImageTable, SpaceRow
from likeness.catalog.tags import tags_of
from likeness.types import ImageIds, ImageState

PAGE = 10_000
"""Values per statement: a million are asked for in a hundred statements of bounded size."""

T = TypeVar("T")

# Written out, not bound: SQLite uses a partial index only where it sees the index's own condition.
IS_LIVE = ImageTable.state != literal(ImageState.GONE.value, literal_execute=True)

_KNOWN = select(
    ImageTable.id,
    ImageTable.uri,
    ImageTable.path,
    ImageTable.sha256,
    ImageTable.size,
    ImageTable.mtime_ns,
    ImageTable.state,
    ImageTable.reason_code,
)


def pages(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), PAGE):
        yield values[start : start + PAGE]


def known_by_uri(
    connection: Connection, collection_id: int, uris: Sequence[str]
) -> dict[str, KnownImage]:
    found = {}
    for page in pages(uris):
        statement = _KNOWN.where(
            ImageTable.collection_id == collection_id,
            ImageTable.uri.in_(strings(connection, page)),
            IS_LIVE,
        )
        for known in _known(connection, collection_id, statement):
            found[known.uri] = known
    return found


def known_by_hash(
    connection: Connection, collection_id: int, sha256s: Sequence[str]
) -> dict[str, list[KnownImage]]:
    found: dict[str, list[KnownImage]] = {}
    for page in pages([bytes.fromhex(sha) for sha in sha256s if sha]):
        statement = _KNOWN.where(
            ImageTable.collection_id == collection_id,
            ImageTable.sha256.in_(byte_strings(connection, page)),
        ).order_by(ImageTable.id)
        for known in _known(connection, collection_id, statement):
            found.setdefault(known.sha256, []).append(known)
    return found


def missing_in_space(
    connection: Connection, collection_id: int, space_id: int, after_id: int, limit: int
) -> list[KnownImage]:
    t, e = ImageTable, EmbeddingRow
    embedded = select(e.image_id).where(e.space_id == space_id, e.image_id == t.id).exists()
    statement = (
        _KNOWN.where(
            t.collection_id == collection_id,
            t.state == ImageState.READY.value,
            t.id > after_id,
            ~embedded,
        )
        .order_by(t.id)
        .limit(limit)
    )
    return _known(connection, collection_id, statement)


def live_uris(
    connection: Connection, collection_id: int, prefix: str, after: str | None, limit: int
) -> list[tuple[int, str, str]]:
    t = ImageTable
    statement = select(t.id, t.uri, t.path).where(t.collection_id == collection_id, IS_LIVE)
    if prefix:
        statement = statement.where(t.uri >= prefix, t.uri < prefix + "\U0010ffff")
    if after is not None:
        statement = statement.where(t.uri > after)
    rows = connection.execute(statement.order_by(t.uri).limit(limit))
    return [(row.id, row.uri, row.path) for row in rows]


def _known(
    connection: Connection, collection_id: int, statement: Select[*tuple[Any, ...]]
) -> list[KnownImage]:
    rows = connection.execute(statement).all()
    if not rows:
        return []
    e = EmbeddingRow
    space_ids = select(SpaceRow.id).where(SpaceRow.collection_id == collection_id)
    spaces: dict[int, set[int]] = {}
    owned = select(e.image_id, e.space_id).where(
        e.space_id.in_(space_ids), e.image_id.in_(integers(connection, [row.id for row in rows]))
    )
    for image_id, space_id in connection.execute(owned):
        spaces.setdefault(image_id, set()).add(space_id)
    return [known_record(row, frozenset(spaces.get(row.id, ()))) for row in rows]


def filter_ids(
    connection: Connection, collection_id: int, condition: ColumnElement[bool] | None
) -> ImageIds:
    t = ImageTable
    statement = select(t.id).where(
        t.collection_id == collection_id, t.state == ImageState.READY.value
    )
    if condition is None:
        sql = "SELECT id FROM images WHERE collection_id = ? AND state = 'ready'"
        rows = fetch(connection, sql, [collection_id]).fetchall()
        return np.sort(np.array(rows, dtype=np.int64).reshape(-1))
    rows = connection.execute(statement.where(condition)).scalars().all()
    return np.sort(np.array(rows, dtype=np.int64).reshape(-1))


def images(
    connection: Connection, collection_id: int, image_ids: Sequence[int]
) -> dict[int, ImageRow]:
    found = {}
    statement = _by_id(connection.dialect.name)
    for page in pages(image_ids):
        parameters = {"collection": collection_id} | listed(connection, page)
        for image in _complete(connection, connection.execute(statement, parameters).all()):
            found[image.id] = image
    return found


@cache
def _by_id(dialect: str) -> Select[*tuple[Any, ...]]:
    t = ImageTable
    return select(*t.__table__.columns).where(
        merely(t.collection_id) == bindparam("collection", type_=BigInteger),
        t.id.in_(bound_integers(dialect)),
    )


def list_images(
    connection: Connection,
    collection_id: int,
    *,
    condition: ColumnElement[bool] | None,
    state: ImageState | None,
    after_id: int,
    limit: int,
) -> list[ImageRow]:
    t = ImageTable
    conditions = [t.collection_id == collection_id, t.id > after_id]
    if state is not None:
        conditions.append(t.state == state.value)
    if condition is not None:
        conditions.append(condition)
    statement = select(*t.__table__.columns).where(and_(*conditions)).order_by(t.id).limit(limit)
    return _complete(connection, connection.execute(statement).all())


def _complete(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[ImageRow]:
    """Add tags and columns."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    tags = tags_of(connection, ids)
    fields: dict[int, dict[str, FieldValue]] = {}
    asked = _fields_by_id(connection.dialect.name)
    for image_id, name, text, number, is_number in connection.execute(
        asked, listed(connection, ids)
    ):
        value: Any = number if is_number else text
        fields.setdefault(image_id, {})[name] = value
    return [
        image_record(row, frozenset(tags.get(row.id, ())), fields.get(row.id, {})) for row in rows
    ]


@cache
def _fields_by_id(dialect: str) -> Select[int, str, str | None, float | None, bool]:
    f = FieldRow
    return select(f.image_id, f.name, f.text, f.number, f.is_number).where(
        f.image_id.in_(bound_integers(dialect))
    )


def column_names(connection: Connection, collection_id: int) -> list[str]:
    """Return the names of the collection's list columns, sorted.

    Each name is found by one look into the index (a loose scan), whatever the number of values.
    """
    names = fetch(
        connection,
        "WITH RECURSIVE names(name) AS (SELECT min(name) FROM image_fields UNION ALL "
        "SELECT (SELECT min(f.name) FROM image_fields f WHERE f.name > names.name) "
        "FROM names WHERE names.name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL",
        [],
    ).fetchall()
    return [
        name
        for (name,) in names
        if fetch(
            connection,
            "SELECT 1 FROM image_fields f JOIN images i ON i.id = f.image_id "
            "WHERE f.name = ? AND i.collection_id = ? LIMIT 1",
            [name, collection_id],
        ).fetchone()
    ]


def counts(connection: Connection, collection_id: int) -> Counts:
    t = ImageTable
    here = t.collection_id == collection_id
    by_state = connection.execute(select(t.state, func.count()).where(here).group_by(t.state))
    failures = connection.execute(
        select(t.reason_code, func.count())
        .where(here, t.state == ImageState.FAILED.value)
        .group_by(t.reason_code)
        .order_by(func.count().desc(), t.reason_code)
    )
    return Counts(
        {ImageState(state): n for state, n in by_state},
        {reason or "unknown": n for reason, n in failures},
    )
