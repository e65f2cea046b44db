"""A catalog of millions of images made in minutes, for measuring what reads it.

Committing them as the product does takes half an hour for ten million. The rows here are the same,
written by the driver in a few statements; only what reading vectors touches is filled in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import make_url

from likeness.catalog import Catalog
from likeness.catalog.chunks import encode_chunk
from likeness.catalog.records import Space
from likeness.types import StoredVectors, Tower

CHUNK = 1024
"""Rows of a chunk: a batch of the indexer's."""

_IMAGES = """INSERT INTO images (id, collection_id, state, revision, uri, sha256, path, path_folded,
size, mtime_ns, added_at, width, height, format)
{rows} SELECT i, {collection}, 'ready', (i - 1) / {chunk} + 1,
'file:///photos/' || {name} || '.jpg', {bytes},
'/photos/' || {name} || '.jpg', '/photos/' || {name} || '.jpg', 1, 1,
'2026-01-01 00:00:00.000000', 4000, 3000, 'jpeg' FROM numbers"""

_EMBEDDINGS = """INSERT INTO embeddings (space_id, image_id, chunk_id, slot, revision)
{rows} SELECT {space}, i, (i - 1) / {chunk} + 1, (i - 1) % {chunk}, (i - 1) / {chunk} + 1
FROM numbers"""

_CHUNKS = "chunks (id, space_id, revision, vectors, checksum, data)"


def fill(url: str, n: int, dim: int) -> Space:
    """An empty catalog holds n ready images, ids 1 to n, and their vectors in one space."""
    with Catalog.open(url) as catalog:
        space = empty_space(catalog, dim)
    parsed = make_url(url)
    connect = _sqlite if parsed.get_backend_name() == "sqlite" else _postgresql
    connect(parsed, space, n)
    return space


def empty_space(catalog: Catalog, dim: int) -> Space:
    """The only space of a new collection, `default`, for vectors that no encoder made."""
    return catalog.ensure_space(
        catalog.create_collection("default").id,
        encoder="none:random",
        fingerprint="00",
        dim=dim,
        towers=frozenset({Tower.IMAGE}),
    )


def chunks(n: int, dim: int) -> Iterator[StoredVectors]:
    """float16 [m, dim] of unit length, m <= CHUNK; every 64th is made anew, the rest are turned."""
    for at, start in enumerate(range(0, n, CHUNK)):
        if at % 64 == 0:
            wide = np.random.default_rng(at).standard_normal((CHUNK, dim), dtype=np.float32)
            made = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)
        yield np.roll(made, at % 64, axis=1)[: min(CHUNK, n - start)]


def _rows(space: Space, n: int) -> Iterator[tuple[int, int, int, int, bytes, bytes]]:
    for number, vectors in enumerate(chunks(n, space.dim), 1):
        data, checksum = encode_chunk(vectors)
        yield number, space.id, number, len(vectors), checksum, data


def _sqlite(url: Any, space: Space, n: int) -> None:
    connection = sqlite3.connect(url.database, isolation_level=None)
    facts = {"chunk": CHUNK, "collection": space.collection_id, "space": space.id}
    numbers = (
        f"WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {n})"
    )
    name, octets = "printf('%010d', i)", "CAST(printf('%032d', i) AS BLOB)"
    for pragma in ("synchronous = OFF", "cache_size = -400000"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(f"INSERT INTO {_CHUNKS} VALUES (?, ?, ?, ?, ?, ?)", _rows(space, n))
    connection.execute(_IMAGES.format(rows=numbers, name=name, bytes=octets, **facts))
    connection.execute(_EMBEDDINGS.format(rows=numbers, **facts))
    connection.execute("UPDATE collections SET revision = ?", (-(-n // CHUNK),))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def _postgresql(url: Any, space: Space, n: int) -> None:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    facts = {"chunk": CHUNK, "collection": space.collection_id, "space": space.id}
    numbers = f"WITH numbers AS (SELECT generate_series(1, {n}::bigint) AS i)"
    name, octets = "lpad(i::text, 10, '0')", "convert_to(lpad(i::text, 32, '0'), 'UTF8')"
    with psycopg.connect(plain) as connection:
        with connection.cursor().copy(f"COPY {_CHUNKS} FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int8", "int8", "int8", "int4", "bytea", "bytea"])
            for row in _rows(space, n):
                copy.write_row(row)
        connection.execute(_IMAGES.format(rows=numbers, name=name, bytes=octets, **facts))
        connection.execute(_EMBEDDINGS.format(rows=numbers, **facts))
        connection.execute("UPDATE collections SET revision = %s", (-(-n // CHUNK),))
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE embeddings")
        connection.execute("ANALYZE images")
