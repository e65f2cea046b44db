"""What a catalog holds, row by row, and whether search over it answers right.

python -m tests.system.contents HOME DATABASE_URL COLLECTION[,…] EXPECTED_HOME EXPECTED [KEY]

compares collections with one of an undisturbed run (SQLite in EXPECTED_HOME), in a process that
has seen nothing of what happened to them. KEY: "bytes" where images are known by their bytes,
having been sent and not found in a folder. Silent when all is well.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from likeness.catalog import Catalog
from likeness.settings import Settings, load_settings
from likeness.types import ImageState, StoredVectors
from search.request import SearchRequest, VectorTerm
from search.service import Searcher
from tests.fakes.runtime import FakeRuntime

Row = tuple[object, ...]
_ASKED = 5
_K = 8


@dataclass(frozen=True)
class Content:
    """rows: by URI, each with the bytes of its vector. vectors: how many are stored in all."""

    rows: list[Row]
    vectors: int


def content_of(catalog: Catalog, name: str) -> Content:
    """Every row that is not gone; raises AssertionError where an image is stored twice."""
    collection = catalog.collection(name)
    (space,) = catalog.spaces(collection.id)
    rows = [
        row
        for row in catalog.list_images(collection.id, limit=100_000)
        if row.state is not ImageState.GONE
    ]
    ids, vectors = catalog.vectors(space.id, [row.id for row in rows])
    vector_of = {int(i): v.tobytes() for i, v in zip(ids, vectors, strict=True)}
    streamed = [int(i) for page, _ in catalog.stream_vectors(space.id) for i in page]
    assert sorted(streamed) == sorted(vector_of), "a vector is stored twice, or without its image"
    assert len({row.uri for row in rows}) == len(rows), "an image is stored twice"
    for row in rows:
        stored = row.state is ImageState.READY
        assert stored == (row.id in vector_of), f"{row.uri}: {row.state} and its vector disagree"
        assert stored or row.reason_code, f"{row.uri} is missing without a reason"
    content: list[Row] = [
        (
            row.uri,
            row.sha256,
            row.size,
            row.mtime_ns,
            row.state,
            row.reason_code,
            row.facts,
            sorted(row.fields.items()),
            vector_of.get(row.id),
        )
        for row in rows
    ]
    return Content(sorted(content, key=lambda row: str(row[0])), len(streamed))


def assert_search_is_right(settings: Settings, name: str) -> None:
    """A few questions have the answers that comparing with every vector gives."""
    with FakeRuntime(settings) as runtime:
        catalog = runtime.catalog
        (space,) = catalog.spaces(catalog.collection(name).id)
        pages = list(catalog.stream_vectors(space.id))
        if not pages:
            return
        every: StoredVectors = np.concatenate([vectors for _, vectors in pages])
        searcher = Searcher(
            catalog,
            index_dir=runtime.index_dir,
            encoder_of=runtime.encoder_of,
            load_image=runtime.load_image,
        )
        try:
            for asked in every[:: max(1, len(every) // _ASKED)].astype(np.float32):
                response = searcher.search(name, SearchRequest((VectorTerm(asked),), k=_K))
                best = np.sort(every.astype(np.float32) @ asked)[::-1][:_K]
                got = np.array([hit.score for hit in response.hits])
                assert np.allclose(got, best, atol=2e-3), f"{name}: {got} instead of {best}"
        finally:
            searcher.close()


def difference(found: Content, expected: Content) -> str:
    """What is not as it should be, in words; empty when nothing is."""
    by_uri = {str(row[0]): row for row in expected.rows}
    lines = []
    for row in found.rows:
        wanted = by_uri.pop(str(row[0]), None)
        if wanted is None:
            lines.append(f"too many: {row[:6]}")
        elif wanted != row:
            lines.append(f"differs: {row[:6]} instead of {wanted[:6]}")
    lines += [f"missing: {row[:6]}" for row in by_uri.values()]
    if not lines and found.vectors != expected.vectors:
        lines.append(f"{found.vectors} vectors instead of {expected.vectors}")
    return "\n".join(lines)


def by_their_bytes(content: Content) -> Content:
    """As it is when names and times do not count: one row for each SHA-256, with its vector."""
    rows: list[Row] = [
        (str(sha256), sha256, state, reason, vector)
        for _, sha256, _, _, state, reason, _, _, vector in content.rows
    ]
    assert len({row[0] for row in rows}) == len(rows), "an upload is stored twice"
    return Content(sorted(rows, key=lambda row: str(row[0])), content.vectors)


def once_by_their_bytes(content: Content) -> Content:
    """The same of a folder, where several files may be the same bytes."""
    rows = {row[1]: row for row in content.rows}
    stored = sum(row[8] is not None for row in rows.values())
    return by_their_bytes(Content(list(rows.values()), stored))


def main(
    home: str, url: str, names: str, expected_home: str, expected_name: str, key: str = "uri"
) -> int:
    settings = load_settings(home=home, database_url=url)
    with Catalog.open(load_settings(home=expected_home).catalog_url) as catalog:
        expected = content_of(catalog, expected_name)
    if key == "bytes":
        expected = once_by_their_bytes(expected)
    for name in names.split(","):
        with Catalog.open(settings.catalog_url) as catalog:
            found = content_of(catalog, name)
        wrong = difference(by_their_bytes(found) if key == "bytes" else found, expected)
        if wrong:
            print(f"{name}:\n{wrong}")
            return 1
        assert_search_is_right(settings, name)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
