"""What is asked of every file, page or query is answered from an index, not by reading it all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, Moved, Space
from likeness.catalog.where import parse_where
from tests.fakes.catalogs import failed, make_space, sha256_of, source, store


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Catalog, Space]:
    catalog = Catalog.open(f"sqlite:///{tmp_path}/catalog.db")
    space = make_space(catalog, catalog.create_collection("default"))
    store(catalog, space, {f"{i}": i for i in range(300)}, others=[failed("bad", None)])
    return catalog, space


def plans(catalog: Catalog, work: Callable[[], object]) -> list[str]:
    """The plans of the statements that work runs through SQLAlchemy."""
    asked: list[tuple[str, Any]] = []

    def note(
        _connection: Connection, _cursor: object, sql: str, values: Any, *_rest: object
    ) -> None:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", sql):
            asked.append((sql, values[0] if isinstance(values, list) else values))

    event.listen(catalog._engine, "before_cursor_execute", note)
    work()
    event.remove(catalog._engine, "before_cursor_execute", note)
    assert asked
    with catalog._engine.connect() as connection:
        return [
            f"{row[3]} for {sql}"
            for sql, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]


@pytest.mark.parametrize(
    "work",
    [
        lambda c, s: c.known_by_uri(s.collection_id, ["file:///1", "file:///2"]),
        lambda c, s: c.known_by_hash(s.collection_id, [sha256_of(1)]),
        lambda c, s: c.live_uris(s.collection_id, "file:///1", "file:///10", 10),
        lambda c, s: c.missing_in_space(s.collection_id, s.id, 5, 10),
        lambda c, s: c.images(s.collection_id, [1, 2, 3]),
        lambda c, s: c.list_images(s.collection_id, after_id=5, limit=10),
        lambda c, s: c.counts(s.collection_id),
        lambda c, s: c.vectors(s.id, [1, 2, 3]),
        lambda c, s: c.changes_since(s.id, 0),
        lambda c, s: c.filter_ids(s.collection_id, parse_where("tag:x")),
        lambda c, s: c.mark_gone(s.collection_id, [1, 2]),
        lambda c, s: c.touch(s.collection_id, [(1, 2, 3)]),
        lambda c, s: c.add_tags(s.collection_id, [1, 2], ["x"]),
        lambda c, s: store(c, s, {"1": 1, "2": 7, "new": 1000}),
        lambda c, s: c.commit_batch(s.collection_id, Batch([Moved(source("x", 1), 2)])),
    ],
)
def test_no_large_table_is_read_whole(
    filled: tuple[Catalog, Space], work: Callable[[Catalog, Space], object]
) -> None:
    catalog, space = filled
    large = r"SCAN (images|embeddings|chunks|image_fields|image_tags)\b(?! USING COVERING)"
    with catalog:
        scans = [p for p in plans(catalog, lambda: work(catalog, space)) if re.match(large, p)]
    assert scans == []


@pytest.mark.parametrize(
    "work",
    [
        lambda c, s: c.images(s.collection_id, [1, 2, 3]),
        lambda c, s: c.mark_gone(s.collection_id, [1, 2]),
        lambda c, s: c.touch(s.collection_id, [(1, 2, 3)]),
        lambda c, s: c.add_tags(s.collection_id, [1, 2], ["x"]),
    ],
)
def test_images_named_by_id_are_looked_up_by_id(
    filled: tuple[Catalog, Space], work: Callable[[Catalog, Space], object]
) -> None:
    """Not among all images of their collection."""
    catalog, space = filled
    with catalog:
        asked = plans(catalog, lambda: work(catalog, space))
    found = [each for each in asked if re.match(r"SEARCH images\b", each)]
    assert found
    assert [each for each in found if "INTEGER PRIMARY KEY" not in each] == []
