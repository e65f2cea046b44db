"""What readers see, on every engine: vectors, changes, pages, snapshots."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from likeness.catalog import Catalog
from likeness.catalog.engine import writing
from likeness.catalog.records import Batch, Collection, Filled, Space, Stored
from likeness.errors import CatalogError, CollectionNotFound, ImageNotFound, InputError
from likeness.types import ImageState, Tower
from tests.fakes.catalogs import (
    DIM,
    FACTS,
    failed,
    make_space,
    sha256_of,
    source,
    store,
    vectors_of,
)


@pytest.fixture
def collection(catalog: Catalog) -> Collection:
    return catalog.create_collection("default")


@pytest.fixture
def space(catalog: Catalog, collection: Collection) -> Space:
    return make_space(catalog, collection)


def streamed(catalog: Catalog, space: Space, **options: int) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    last = -1
    for image_ids, vectors in catalog.stream_vectors(space.id, **options):
        assert image_ids.dtype == np.int64
        assert vectors.dtype == np.float16
        assert vectors.shape == (len(image_ids), space.dim)
        assert (np.diff(image_ids, prepend=last) > 0).all()
        last = image_ids[-1]
        found |= zip(image_ids.tolist(), vectors.tolist(), strict=True)
    return found


@pytest.mark.parametrize("page", [1, 3, 7, 1000])
def test_a_stream_yields_every_ready_vector_once_in_order_of_id(
    catalog: Catalog, collection: Collection, space: Space, page: int
) -> None:
    expected = {}
    for batch in range(4):  # contents repeat, so that images share vectors of older chunks
        contents = {f"{batch}-{i}": batch + 3 * i for i in range(6)}
        ids = store(catalog, space, contents).stored
        vectors = vectors_of(list(contents.values())).tolist()
        expected |= dict(zip(ids, vectors, strict=True))
    hidden = sorted(expected)[3:15:2]
    catalog.mark_gone(collection.id, hidden)
    assert streamed(catalog, space, rows=page) == {
        i: v for i, v in expected.items() if i not in hidden
    }


def test_a_stream_up_to_a_revision_and_the_changes_since_make_the_whole(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b, c = store(catalog, space, {"a": 1, "b": 2, "c": 3}).stored
    revision = catalog.head(collection.id, space.id).revision
    catalog.mark_gone(collection.id, [a, b])
    store(catalog, space, {"a": 1, "d": 4})  # a comes back
    old = streamed(catalog, space, up_to_revision=revision)
    assert sorted(old) == [c]
    changes = catalog.changes_since(space.id, revision)
    new = dict(zip(changes.added_ids.tolist(), changes.added_vectors.tolist(), strict=True))
    assert changes.dead_ids.tolist() == [b]
    assert catalog.count_changes(space.id, revision) == (len(new), 1)
    assert old | new == streamed(catalog, space)
    assert changes.revision == catalog.collection("default").revision
    later = catalog.changes_since(space.id, changes.revision)
    assert (len(later.added_ids), len(later.dead_ids)) == (0, 0)
    assert later.added_vectors.shape == (0, DIM)
    assert catalog.count_changes(space.id, changes.revision) == (0, 0)


def test_a_stream_holds_still_while_others_write(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    ids = store(catalog, space, {f"{i}": i for i in range(6)}).stored
    pages = catalog.stream_vectors(space.id, rows=2)
    seen = list(next(pages)[0])
    store(catalog, space, {f"new {i}": i for i in range(3)})
    catalog.mark_gone(collection.id, [ids[3]])
    seen += itertools.chain.from_iterable(image_ids for image_ids, _ in pages)
    assert seen == [i for i in ids if i != ids[3]]


def test_a_stream_can_begin_after_an_image(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    ids = store(catalog, space, {f"{i}": i for i in range(5)}).stored
    assert sorted(streamed(catalog, space, after_image_id=ids[2])) == list(ids[3:])


def test_vectors_of_many_ids_are_read_at_once(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b = store(catalog, space, {"a": 1, "b": 2}).stored
    asked = np.arange(100_000)[::-1]
    image_ids, vectors = catalog.vectors(space.id, asked)
    assert image_ids.tolist() == [a, b]
    assert np.array_equal(vectors, vectors_of([1, 2]))
    assert set(catalog.images(collection.id, asked)) == {a, b}
    assert catalog.mark_gone(collection.id, asked.tolist()) == 2
    uris = [f"file:///{i}" for i in range(30_000)]
    assert catalog.known_by_uri(collection.id, uris) == {}
    hashes = [sha256_of(i) for i in range(30_000)]
    assert sorted(catalog.known_by_hash(collection.id, hashes)) == sorted(hashes[1:3])


def test_only_ready_images_of_the_collection_pass_a_filter(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b = store(catalog, space, {"a": 1, "b": 2}, others=[failed("c", 3)]).stored
    other = make_space(catalog, catalog.create_collection("other"))
    store(catalog, other, {"a": 1})
    catalog.mark_gone(collection.id, [a])
    image_ids = catalog.filter_ids(collection.id)
    assert image_ids.dtype == np.int64
    assert image_ids.tolist() == [b]


def test_live_places_come_in_pages_under_a_prefix(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    names = ["a/1", "a/2", "a/Z", "a/z", "ab", "b/1"]
    ids = dict(zip(names, store(catalog, space, dict.fromkeys(names, 1)).stored, strict=True))
    catalog.mark_gone(collection.id, [ids["a/2"]])
    found, after = [], None
    while page := catalog.live_uris(collection.id, "file:///a/", after, 2):
        found += page
        after = page[-1][1]
    assert found == [(ids[n], f"file:///{n}", f"/{n}") for n in ("a/1", "a/Z", "a/z")]
    assert len(catalog.live_uris(collection.id, "", None, 100)) == 5


def test_images_are_listed_in_pages_by_state(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b, c = store(catalog, space, {"a": 1, "b": 2, "c": 3}).stored
    (bad,) = store(catalog, space, {}, others=[failed("d", None)]).failed
    first = catalog.list_images(collection.id, state=ImageState.READY, limit=2)
    assert [row.id for row in first] == [a, b]
    rest = catalog.list_images(collection.id, state=ImageState.READY, after_id=b)
    assert [row.id for row in rest] == [c]
    (row,) = catalog.list_images(collection.id, state=ImageState.FAILED)
    assert (row.id, row.sha256, row.facts, row.message) == (bad, "", None, "/d: it is corrupt")


def test_counts_name_states_and_reasons(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    failures = [failed("c", 3), failed("d", 4, "too_large"), failed("e", 5, "too_large")]
    ids = store(catalog, space, {"a": 1, "b": 2}, others=failures).stored
    catalog.mark_gone(collection.id, ids[:1])
    counts = catalog.counts(collection.id)
    assert (counts.ready, counts.failed, counts.gone, counts.pending) == (1, 3, 1, 0)
    assert list(counts.failures.items()) == [("too_large", 2), ("corrupt", 1)]


def test_a_damaged_chunk_is_an_error_that_names_it_and_its_images(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    b, c = store(catalog, space, {"b": 2, "c": 3}).stored
    with writing(catalog._engine) as connection:
        connection.exec_driver_sql(flip_a_bit(connection.dialect.name))
    for read in (
        lambda: list(catalog.stream_vectors(space.id)),
        lambda: catalog.vectors(space.id, [b]),
        lambda: catalog.changes_since(space.id, 0),
    ):
        with pytest.raises(CatalogError, match=rf"chunk 2 .*checksum.* images {b}, {c};"):
            read()
    assert catalog.vectors(space.id, [a])[0].tolist() == [a]
    assert catalog.forget_embeddings(space.id, [b, c]) == 2
    missing = catalog.missing_in_space(collection.id, space.id, 0, 10)
    assert [known.image_id for known in missing] == [b, c]
    batch = Batch([Filled(b, 0), Filled(c, 1)], {space.id: vectors_of([2, 3])})
    assert catalog.commit_batch(collection.id, batch).filled == (b, c)
    assert sorted(streamed(catalog, space)) == [a, b, c]


def flip_a_bit(dialect: str) -> str:
    """SQL that flips a bit of the second chunk's last byte."""
    if dialect == "sqlite":
        return (
            "UPDATE chunks SET data = CAST(substr(data, 1, length(data) - 1) || x'7f' AS BLOB) "
            "WHERE id = 2"
        )
    return (
        "UPDATE chunks SET data = set_byte(data, length(data) - 1, "
        "get_byte(data, length(data) - 1) # 1) WHERE id = 2"
    )


def test_snapshots_are_published_by_compare_and_set(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    def publish(name: str, expected: str | None) -> bool:
        return catalog.publish_snapshot(
            space.id, name=name, revision=0, manifest={"kind": "exact"}, expected=expected
        )

    assert catalog.head(collection.id, space.id).snapshot is None
    assert publish("one", None)
    assert not publish("two", None)
    assert publish("two", "one")
    assert not publish("three", "one")
    current = catalog.head(collection.id, space.id).snapshot
    assert current is not None
    assert (current.name, current.manifest, current.state) == ("two", {"kind": "exact"}, "current")
    assert [(s.name, s.state) for s in catalog.snapshots(space.id)] == [
        ("two", "current"),
        ("one", "previous"),
    ]
    catalog.set_aside(space.id, "two", "a bit is wrong")
    assert catalog.head(collection.id, space.id).snapshot is None
    assert catalog.snapshots(space.id)[0].reason == "a bit is wrong"
    assert publish("three", None)
    catalog.forget(space.id, "one")
    assert [s.name for s in catalog.snapshots(space.id)] == ["three", "two"]
    with pytest.raises(CatalogError, match="no space 99"):
        catalog.publish_snapshot(99, name="x", revision=0, manifest={}, expected=None)


def test_the_digest_of_chunks_depends_on_what_a_revision_covers(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    empty = catalog.chunks_digest(space.id, 0)
    store(catalog, space, {"a": 1})
    one = catalog.chunks_digest(space.id, 1)
    store(catalog, space, {"b": 2})
    assert catalog.chunks_digest(space.id, 0) == empty
    assert catalog.chunks_digest(space.id, 1) == one
    assert len({empty, one, catalog.chunks_digest(space.id, 2)}) == 3


def test_tags_are_set_added_and_removed(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b = store(catalog, space, {"a": 1, "b": 2}).stored
    catalog.add_tags(collection.id, [a, b], ["x", "y"])
    catalog.set_tags(collection.id, [a], ["z"])
    catalog.remove_tags(collection.id, [b], ["x", "never there"])
    found = catalog.images(collection.id, [a, b])
    assert (found[a].tags, found[b].tags) == ({"z"}, {"y"})
    catalog.set_tags(collection.id, [a], [])
    assert catalog.images(collection.id, [a])[a].tags == set()
    with pytest.raises(ImageNotFound, match="no image 99 in collection 'default'"):
        catalog.add_tags(collection.id, [99], ["x"])
    with pytest.raises(InputError, match="cannot be empty"):
        catalog.add_tags(collection.id, [a], [" "])
    with pytest.raises(InputError, match="longer than"):
        catalog.add_tags(collection.id, [a], ["x" * 501])


def test_collections_are_made_listed_and_dropped(catalog: Catalog) -> None:
    first = catalog.create_collection("default")
    assert catalog.create_collection("default") == first
    second = catalog.create_collection("other")
    for collection in (first, second):
        space = make_space(catalog, collection)
        store(catalog, space, {"a": 1}, others=[failed("b", 2)])
        catalog.add_tags(collection.id, catalog.filter_ids(collection.id).tolist(), ["t"])
        catalog.publish_snapshot(space.id, name="s", revision=1, manifest={}, expected=None)
    assert [s.collection.name for s in catalog.collections()] == ["default", "other"]
    catalog.drop_collection("default")
    (left,) = catalog.collections()
    assert left.collection.id == second.id
    assert (left.counts.ready, left.counts.failed) == (1, 1)
    assert left.spaces[0].embedded == 1
    with pytest.raises(CollectionNotFound, match=r"no collection 'default' \(collections: other\)"):
        catalog.collection("default")
    assert catalog.create_collection("default").id > second.id


def test_a_space_is_made_once_per_fingerprint(catalog: Catalog, collection: Collection) -> None:
    one = make_space(catalog, collection)
    assert make_space(catalog, collection) == one
    two = catalog.ensure_space(
        collection.id,
        encoder="fake:clip",
        fingerprint="f",
        dim=16,
        towers=frozenset({Tower.IMAGE, Tower.TEXT}),
    )
    assert catalog.spaces(collection.id) == [one, two]
    assert two.towers == {Tower.IMAGE, Tower.TEXT}


def test_image_ids_are_never_used_again(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    ids = store(catalog, space, {"a": 1, "b": 2}).stored
    catalog.drop_collection("default")
    fresh = make_space(catalog, catalog.create_collection("default"))
    assert min(store(catalog, fresh, {"a": 1}).stored) > max(ids)


def test_vectors_of_two_spaces_in_one_batch_go_to_their_own_chunks(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    second = make_space(catalog, collection, "two")
    items = [Stored(source("a", 1), FACTS, 0), Stored(source("b", 2), FACTS, 1)]
    vectors = {space.id: vectors_of([1, 2]), second.id: vectors_of([8, 9])}
    ids = catalog.commit_batch(collection.id, Batch(items, vectors)).stored
    assert np.array_equal(catalog.vectors(space.id, ids)[1], vectors_of([1, 2]))
    assert np.array_equal(catalog.vectors(second.id, ids)[1], vectors_of([8, 9]))
