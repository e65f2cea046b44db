"""What a committed batch does, on every engine."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from likeness.catalog import Catalog
from likeness.catalog.records import (
    REMOVED,
    Batch,
    Collection,
    Filled,
    ImageRow,
    Linked,
    Moved,
    Space,
    Stored,
)
from likeness.errors import CatalogError, VectorError
from likeness.types import ImageFacts, ImageState
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


def rows(catalog: Catalog, collection: Collection) -> dict[str, ImageRow]:
    """Live rows by path."""
    return {
        row.path: row
        for row in catalog.list_images(collection.id)
        if row.state is not ImageState.GONE
    }


def places(catalog: Catalog, space: Space) -> dict[int, tuple[int, int]]:
    """Image id → (chunk, slot), read behind the API's back."""
    with catalog._engine.connect() as connection:
        found = connection.exec_driver_sql(
            f"SELECT image_id, chunk_id, slot FROM embeddings WHERE space_id = {space.id}"
        )
        return {row[0]: (row[1], row[2]) for row in found}


def test_what_was_stored_is_read_back(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    facts = ImageFacts(
        width=4032,
        height=3024,
        format="heif",
        taken_at=datetime(2019, 6, 1, 12, 30, 5),
        camera_make="Google",
        camera_model="Pixel 3",
        lens="rear camera",
        latitude=48.2,
        longitude=16.4,
        perceptual_hash=bytes(range(32)),
        perceptual_hash_quality=97,
    )
    known = source("a.jpg", 1, fields={"label": "cat", "price": 12.5, "count": 3})
    result = catalog.commit_batch(
        collection.id, Batch([Stored(known, facts, 0)], {space.id: vectors_of([1])})
    )
    (image_id,) = result.stored
    row = catalog.images(collection.id, [image_id])[image_id]
    assert row.facts == facts
    assert (row.uri, row.path, row.sha256) == (known.uri, known.path, known.sha256)
    assert (row.size, row.mtime_ns, row.state) == (1000, 5, ImageState.READY)
    assert row.fields == {"label": "cat", "price": 12.5, "count": 3}
    assert row.revision == result.revision == 1
    image_ids, vectors = catalog.vectors(space.id, [image_id])
    assert image_ids.tolist() == [image_id]
    assert np.array_equal(vectors, vectors_of([1]))


def test_committing_a_batch_again_changes_nothing(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    first = store(catalog, space, {"a": 1, "b": 2}, others=[failed("c", 3)])
    before = rows(catalog, collection), places(catalog, space)
    again = store(catalog, space, {"a": 1, "b": 2}, others=[failed("c", 3)])
    assert again.skipped == (*first.stored, *first.failed)
    assert again.revision == first.revision
    assert (rows(catalog, collection), places(catalog, space)) == before


def test_files_with_the_same_bytes_share_one_vector(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    batch = Batch(
        [Stored(source("a", 1), FACTS, 0), Stored(source("b", 1), FACTS, 0)],
        {space.id: vectors_of([1])},
    )
    a, b = catalog.commit_batch(collection.id, batch).stored
    later = catalog.commit_batch(collection.id, Batch([Linked(source("c", 1), FACTS, a)]))
    raced = store(catalog, space, {"d": 1})
    found = places(catalog, space)
    assert found[a] == found[b] == found[later.linked[0]] == found[raced.stored[0]]
    (summary,) = catalog.collections()
    assert summary.spaces[0].embedded == 4
    assert summary.spaces[0].stored_bytes == 2 * DIM


def test_a_changed_file_is_a_new_image_and_keeps_its_tags(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (old,) = store(catalog, space, {"a": 1}).stored
    catalog.add_tags(collection.id, [old], ["holiday", "Ü"])
    (new,) = store(catalog, space, {"a": 2}).stored
    assert new != old
    found = catalog.images(collection.id, [old, new])
    assert found[old].state is ImageState.GONE
    assert found[new].state is ImageState.READY
    assert found[new].tags == {"holiday", "Ü"}


def test_a_file_that_becomes_what_it_was_is_the_image_it_was(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (old,) = store(catalog, space, {"a": 1}).stored
    (new,) = store(catalog, space, {"a": 2}).stored
    back = store(catalog, space, {"a": 1})
    assert back.stored == (old,)
    found = catalog.images(collection.id, [old, new])
    assert (found[old].state, found[new].state) == (ImageState.READY, ImageState.GONE)
    changes = catalog.changes_since(space.id, back.revision - 1)
    assert changes.added_ids.tolist() == [old]
    assert changes.dead_ids.tolist() == [new]


def test_a_moved_image_keeps_its_id_and_vector(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (image_id,) = store(catalog, space, {"a": 1}).stored
    move = Moved(source("b", 1, mtime_ns=9), image_id, from_uri="file:///a")
    result = catalog.commit_batch(collection.id, Batch([move]))
    assert result.moved == (image_id,)
    assert list(rows(catalog, collection)) == ["/b"]
    assert rows(catalog, collection)["/b"].mtime_ns == 9
    assert catalog.commit_batch(collection.id, Batch([move])).skipped == (image_id,)


def test_a_vanished_image_found_elsewhere_comes_back(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (image_id,) = store(catalog, space, {"a": 1}).stored
    assert catalog.mark_gone(collection.id, [image_id]) == 1
    assert catalog.mark_gone(collection.id, [image_id]) == 0
    result = catalog.commit_batch(collection.id, Batch([Moved(source("b", 1), image_id)]))
    assert result.moved == (image_id,)
    assert catalog.filter_ids(collection.id).tolist() == [image_id]
    changes = catalog.changes_since(space.id, result.revision - 1)
    assert changes.added_ids.tolist() == [image_id]


def test_a_move_onto_a_changed_place_replaces_what_was_there(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b = store(catalog, space, {"a": 1, "b": 2}).stored
    catalog.add_tags(collection.id, [b], ["kept"])
    catalog.commit_batch(collection.id, Batch([Moved(source("b", 1), a)]))
    found = catalog.images(collection.id, [a, b])
    assert (found[a].uri, found[a].state, found[a].tags) == (
        "file:///b",
        ImageState.READY,
        {"kept"},
    )
    assert found[b].state is ImageState.GONE


def test_a_move_to_a_place_that_has_the_content_already_leaves_the_old_place(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    (b,) = store(catalog, space, {"b": 1}).stored
    result = catalog.commit_batch(collection.id, Batch([Moved(source("b", 1), a)]))
    assert result.moved == (b,)
    assert catalog.filter_ids(collection.id).tolist() == [b]


def test_names_can_be_swapped_and_shifted_in_one_batch(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b, c = store(catalog, space, {"a": 1, "b": 2, "c": 1}).stored
    moves = [Moved(source("b", 1), a), Moved(source("a", 2), b), Moved(source("d", 1), c)]
    catalog.commit_batch(collection.id, Batch(moves))
    assert {path: row.id for path, row in rows(catalog, collection).items()} == {
        "/b": a,
        "/a": b,
        "/d": c,
    }
    # the same bytes throughout: b → c, d → b, each to where the other was
    catalog.commit_batch(collection.id, Batch([Moved(source("d", 1), a), Moved(source("b", 1), c)]))
    assert rows(catalog, collection)["/d"].id == a
    assert rows(catalog, collection)["/b"].id == c


def test_an_image_that_two_moves_want_is_at_both_places(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    moves = [Moved(source(name, 1), a, from_uri="file:///a") for name in ("b", "c")]
    both = catalog.commit_batch(collection.id, Batch(moves))
    assert both.moved[0] == a
    assert set(rows(catalog, collection)) == {"/b", "/c"}
    third = Batch([Moved(source("d", 1), a, from_uri="file:///a")])
    catalog.commit_batch(collection.id, third)
    found = rows(catalog, collection)
    assert set(found) == {"/b", "/c", "/d"}
    assert all(row.facts == FACTS for row in found.values())
    assert len(set(places(catalog, space).values())) == 1


def test_a_failure_replaces_what_was_there_and_success_replaces_the_failure(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    (bad,) = store(catalog, space, {}, others=[failed("a", None, "unreadable")]).failed
    assert catalog.counts(collection.id).failures == {"unreadable": 1}
    assert catalog.images(collection.id, [a])[a].state is ImageState.GONE
    (again,) = store(catalog, space, {}, others=[failed("a", None, "too_large")]).failed
    assert again == bad
    assert catalog.counts(collection.id).failures == {"too_large": 1}
    (good,) = store(catalog, space, {"a": 3}).stored
    found = catalog.images(collection.id, [bad, good])
    assert (found[bad].state, found[good].state) == (ImageState.GONE, ImageState.READY)


def test_a_failure_of_the_same_bytes_becomes_ready_in_its_own_row(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (bad,) = store(catalog, space, {}, others=[failed("a", 1, "too_large")]).failed
    (good,) = store(catalog, space, {"a": 1}).stored
    assert good == bad
    row = catalog.images(collection.id, [good])[good]
    assert (row.state, row.reason_code, row.message) == (ImageState.READY, None, None)


def test_a_late_failure_of_bytes_that_were_embedded_is_passed_over(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    assert store(catalog, space, {}, others=[failed("a", 1, "timeout")]).skipped == (a,)
    assert catalog.counts(collection.id).ready == 1


def test_a_failed_image_that_moved_stays_failed(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (bad,) = store(catalog, space, {}, others=[failed("a", 1)]).failed
    catalog.commit_batch(collection.id, Batch([Moved(source("b", 1), bad)]))
    assert rows(catalog, collection)["/b"].state is ImageState.FAILED
    catalog.mark_gone(collection.id, [bad])
    catalog.commit_batch(collection.id, Batch([Moved(source("c", 1), bad)]))
    row = rows(catalog, collection)["/c"]
    assert (row.state, row.reason_code) == (ImageState.FAILED, "corrupt")


def test_a_second_space_is_filled_image_by_image(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b = store(catalog, space, {"a": 1, "b": 2}).stored
    (bad,) = store(catalog, space, {}, others=[failed("c", 3)]).failed
    second = make_space(catalog, collection, "two")
    missing = catalog.missing_in_space(collection.id, second.id, 0, 10)
    assert [known.image_id for known in missing] == [a, b]
    assert missing[0].has_embedding == {space.id}
    batch = Batch([Filled(a, 0), Filled(bad, 1)], {second.id: vectors_of([7, 8])})
    result = catalog.commit_batch(collection.id, batch)
    assert (result.filled, result.skipped) == ((a,), (bad,))
    missing = catalog.missing_in_space(collection.id, second.id, 0, 10)
    assert [known.image_id for known in missing] == [b]
    assert catalog.missing_in_space(collection.id, second.id, b, 10) == []
    again = catalog.commit_batch(collection.id, batch)
    assert (again.filled, again.revision) == ((), result.revision)


def test_the_last_of_two_items_for_one_place_is_live(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    items = [Stored(source("a", 1), FACTS, 0), Stored(source("a", 2), FACTS, 1)]
    batch = Batch(items, {space.id: vectors_of([1, 2])})
    _, last = catalog.commit_batch(collection.id, batch).stored
    assert rows(catalog, collection)["/a"].id == last
    assert catalog.filter_ids(collection.id).tolist() == [last]


def test_a_new_modification_time_is_noted_without_a_new_vector(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    catalog.touch(collection.id, [(a, 1000, 77)])
    assert catalog.known_by_uri(collection.id, ["file:///a"])["file:///a"].mtime_ns == 77
    revision = catalog.collection("default").revision
    catalog.touch(collection.id, [(a, 1000, 77)])
    assert catalog.collection("default").revision == revision


def test_columns_follow_the_list_and_stay_when_a_scan_knows_none(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    listed = source("a", 1, fields={"label": "cat", "n": 1.0})
    batch = Batch([Stored(listed, FACTS, 0)], {space.id: vectors_of([1])})
    (a,) = catalog.commit_batch(collection.id, batch).stored
    store(catalog, space, {"a": 1})
    assert rows(catalog, collection)["/a"].fields == {"label": "cat", "n": 1.0}
    relisted = Moved(replace(listed, fields={"label": "dog"}), a)
    assert catalog.commit_batch(collection.id, Batch([relisted])).moved == (a,)
    assert rows(catalog, collection)["/a"].fields == {"label": "dog"}
    assert catalog.column_names(collection.id) == ["label"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda v: v * math.nan, "norm nan"),
        (lambda v: v * 0, "norm 0"),
        (lambda v: v * 2, "norm 2"),
        (lambda v: v.astype(np.float32) * 1e6, "norm inf"),
        (lambda v: v[:, :-1], "do not fit"),
        (lambda v: v[0], "do not fit"),
        (lambda v: v.astype(np.int32), "type int32"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_vector_that_would_spoil_its_neighbours_is_refused_and_nothing_is_stored(
    catalog: Catalog, collection: Collection, space: Space, spoil: object, reason: str
) -> None:
    assert callable(spoil)
    items = [Stored(source("a", 1), FACTS, 0)]
    with pytest.raises(VectorError, match=reason):
        catalog.commit_batch(collection.id, Batch(items, {space.id: spoil(vectors_of([1]))}))
    assert rows(catalog, collection) == {}
    assert catalog.collection("default").revision == 0


def test_items_that_contradict_themselves_are_refused(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    vectors = {space.id: vectors_of([1])}
    for items, error, reason in (
        ([Linked(source("b", 2), FACTS, a)], ValueError, "has other bytes"),
        ([Moved(source("b", 2), a)], ValueError, "has other bytes"),
        ([Stored(source("b", None), FACTS, 0)], ValueError, "is not a SHA-256"),
        ([Stored(source("b", 1), FACTS, 1)], ValueError, "name vectors 1 to 1 of 1"),
        ([Linked(source("b", 2), FACTS, 999)], CatalogError, "image 999"),
        ([Stored(source("b" * 3000, 1), FACTS, 0)], ValueError, "limit 2600"),
    ):
        with pytest.raises(error, match=reason):
            catalog.commit_batch(collection.id, Batch(items, vectors))
    with pytest.raises(CatalogError, match="space 99"):
        catalog.commit_batch(collection.id, Batch([], {99: vectors_of([1])}))
    with pytest.raises(ValueError, match="needs vectors"):
        catalog.commit_batch(collection.id, Batch([Stored(source("b", 1), FACTS, 0)]))
    assert list(rows(catalog, collection)) == ["/a"]


def test_odd_names_and_texts_are_stored(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    facts = replace(FACTS, camera_model="Pix\0el", latitude=999.0, longitude=float("nan"))
    odd = replace(source("odd", 1, mtime_ns=2**70), path="/caf\udce9/a\0b")
    batch = Batch([Stored(odd, facts, 0)], {space.id: vectors_of([1])})
    (image_id,) = catalog.commit_batch(collection.id, batch).stored
    row = catalog.images(collection.id, [image_id])[image_id]
    assert row.path == "/caf\ufffd/a\ufffdb"
    assert row.facts is not None
    assert row.facts.camera_model == "Pix\ufffdel"
    assert row.facts.latitude is None


def test_a_large_batch_is_split_into_chunks(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    n = 5000
    angles = np.linspace(0, 1, n)
    vectors = np.zeros((n, DIM), dtype=np.float16)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    items = [Stored(source(f"{i}", i), FACTS, i) for i in range(n)]
    result = catalog.commit_batch(collection.id, Batch(items, {space.id: vectors}))
    assert len(set(result.stored)) == n
    assert len({chunk for chunk, _ in places(catalog, space).values()}) == 2
    image_ids, found = catalog.vectors(space.id, result.stored)
    assert image_ids.tolist() == sorted(result.stored)
    assert np.array_equal(found, vectors)


def test_a_batch_of_a_dropped_collection_is_refused(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    catalog.drop_collection("default")
    with pytest.raises(CatalogError, match="has been dropped"):
        store(catalog, space, {"a": 1})


def test_known_images_are_found_by_place_and_by_bytes(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    a, b = store(catalog, space, {"a": 1, "b": 1}).stored
    (bad,) = store(catalog, space, {}, others=[failed("c", 3)]).failed
    catalog.mark_gone(collection.id, [a])
    uris = [f"file:///{name}" for name in "abcd"]
    by_uri = catalog.known_by_uri(collection.id, uris)
    assert {uri: known.image_id for uri, known in by_uri.items()} == {uris[1]: b, uris[2]: bad}
    assert by_uri[uris[2]].reason_code == "corrupt"
    by_hash = catalog.known_by_hash(collection.id, [sha256_of(1), sha256_of(9), ""])
    assert {sha: [k.image_id for k in known] for sha, known in by_hash.items()} == {
        sha256_of(1): [a, b]
    }
    assert [k.state for k in by_hash[sha256_of(1)]] == [ImageState.GONE, ImageState.READY]
    assert all(k.has_embedding == {space.id} for k in by_hash[sha256_of(1)])


def test_a_removed_image_that_is_brought_back_is_as_it_was(
    catalog: Catalog, collection: Collection, space: Space
) -> None:
    (a,) = store(catalog, space, {"a": 1}).stored
    catalog.mark_gone(collection.id, [a], reason_code=REMOVED)
    assert catalog.images(collection.id, [a])[a].reason_code == REMOVED
    catalog.commit_batch(collection.id, Batch([Moved(source("a", 1), a)]))
    row = catalog.images(collection.id, [a])[a]
    assert (row.state, row.reason_code) == (ImageState.READY, None)
