"""Verdicts, thresholds, journals and merged facts, on both databases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Stored
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.sorting.merging import CatalogBooks
from likeness.types import ImageFacts, Tower


def stored(catalog: Catalog) -> tuple[int, int, list[int]]:
    """A collection with one space and two images; the second has tags, place and a column."""
    collection = catalog.create_collection("photos")
    space = catalog.ensure_space(
        collection.id, encoder="e", fingerprint="f", dim=4, towers=frozenset({Tower.IMAGE})
    )
    plain = ImageFacts(10, 10, "jpeg", perceptual_hash=bytes(range(32)), perceptual_hash_quality=7)
    rich = ImageFacts(
        10, 10, "jpeg", camera_make="A", camera_model="B", latitude=1.0, longitude=2.0
    )
    items = [
        Stored(SourceFacts("file:///a", "/a", "aa" * 32), plain, 0),
        Stored(SourceFacts("file:///b", "/b", "bb" * 32, fields={"note": "x"}), rich, 1),
    ]
    vectors = np.eye(2, 4, dtype=np.float16)
    result = catalog.commit_batch(collection.id, Batch(items, {space.id: vectors}))
    catalog.add_tags(collection.id, [result.stored[1]], ["holiday"])
    return collection.id, space.id, list(result.stored)


def test_a_verdict_is_kept_whatever_the_order_of_the_pair(catalog: Catalog) -> None:
    records = DuplicateRecords(catalog)
    records.not_duplicates([("bb" * 32, "aa" * 32), ("aa" * 32, "bb" * 32)])
    records.not_duplicates([("aa" * 32, "bb" * 32), ("cc" * 32, "cc" * 32)])
    assert records.verdicts() == {("aa" * 32, "bb" * 32)}
    records.forget_verdicts([("bb" * 32, "aa" * 32)])
    assert records.verdicts() == set()


def test_a_verdict_outlives_its_collection(catalog: Catalog) -> None:
    stored(catalog)
    DuplicateRecords(catalog).not_duplicates([("aa" * 32, "bb" * 32)])
    catalog.drop_collection("photos")
    assert len(DuplicateRecords(catalog).verdicts()) == 1


def test_hashes_come_in_the_order_asked_for(catalog: Catalog) -> None:
    _, _, (plain, rich) = stored(catalog)
    found = DuplicateRecords(catalog).hashes(np.array([rich, 999, plain]))
    assert found.sha256[:, 0].tolist() == [0xBB, 0, 0xAA]
    assert found.quality.tolist() == [-1, -1, 7]
    assert found.pdq[2].tolist() == list(range(32))


def test_a_calibration_is_replaced_and_goes_with_its_space(catalog: Catalog) -> None:
    _, space_id, _ = stored(catalog)
    records = DuplicateRecords(catalog)
    assert records.calibration(space_id) is None
    records.save_calibration(space_id, 10, {"score": 0.5})
    records.save_calibration(space_id, 20, {"score": 0.6})
    found = records.calibration(space_id)
    assert found is not None
    assert (found.images, dict(found.document)) == (20, {"score": 0.6})
    catalog.drop_collection("photos")
    assert records.calibration(space_id) is None


def test_the_latest_journal_comes_first(catalog: Catalog) -> None:
    records = DuplicateRecords(catalog)
    for plan_id in ("p1", "p2", "p1"):
        records.journal_begun(plan_id, "photos", Path("/trash") / plan_id)
    records.journal_undone(Path("/trash/p2"))
    assert [(j.plan_id, j.undone_at is None) for j in records.journals()] == [
        ("p2", False),
        ("p1", True),
    ]


def test_what_was_known_of_a_copy_goes_to_the_kept_one_and_back(catalog: Catalog) -> None:
    collection_id, space_id, (kept, copy) = stored(catalog)
    before = catalog.images(collection_id, [kept, copy])
    books = CatalogBooks(catalog, collection_id)
    merged = books.removed(copy, kept)
    assert merged["tags"] == ["holiday"]
    now = catalog.images(collection_id, [kept])[kept]
    assert now.tags == {"holiday"}
    assert now.fields == {"note": "x"}
    assert now.facts is not None
    assert (now.facts.camera_model, now.facts.latitude) == ("B", 1.0)
    assert not books.still_ready(copy)
    head = catalog.head(collection_id, space_id).revision

    books.restored(copy, kept, merged)
    after = catalog.images(collection_id, [kept, copy])
    for image_id in (kept, copy):
        assert (after[image_id].tags, after[image_id].fields, after[image_id].facts) == (
            before[image_id].tags,
            before[image_id].fields,
            before[image_id].facts,
        )
    assert books.still_ready(copy)
    assert catalog.changes_since(space_id, head).added_ids.tolist() == [copy]


def test_being_told_twice_changes_nothing_more(catalog: Catalog) -> None:
    collection_id, _, (kept, copy) = stored(catalog)
    books = CatalogBooks(catalog, collection_id)
    books.removed(copy, kept)
    assert not any(books.removed(copy, kept).values())
