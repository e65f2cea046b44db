"""What review pages remember and read: verdicts on images, pages of members, facts of points."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Stored
from likeness.catalog.sorting.clusters import ClusterRecords, Members, StoredCluster
from likeness.catalog.sorting.members import member_page
from likeness.catalog.sorting.points import point_facts
from likeness.catalog.sorting.verdicts import CopyVerdicts, Verdict
from likeness.types import ImageFacts, Tower


def filled(catalog: Catalog, count: int = 4) -> tuple[int, int, list[int]]:
    """A collection with one space and `count` images in two folders; every other has a time."""
    collection = catalog.create_collection("photos")
    space = catalog.ensure_space(
        collection.id, encoder="e", fingerprint="f", dim=4, towers=frozenset({Tower.IMAGE})
    )
    items = []
    for number in range(count):
        taken = datetime(2020, 1, 1 + number, 12) if number % 2 == 0 else None
        path = f"/photos/{'ab'[number % 2]}/{number}.jpg"
        facts = ImageFacts(10, 10, "jpeg", taken_at=taken)
        items.append(
            Stored(SourceFacts(f"file://{path}", path, f"{number:02x}" * 32), facts, number)
        )
    vectors = np.eye(count, 4, dtype=np.float16)
    result = catalog.commit_batch(collection.id, Batch(items, {space.id: vectors}))
    return collection.id, space.id, list(result.stored)


def test_the_last_verdict_on_an_image_holds(catalog: Catalog) -> None:
    collection_id, _, (first, second, third, _) = filled(catalog)
    verdicts = CopyVerdicts(catalog)
    stamps = [verdicts.stamp()]
    for given in (
        {first: Verdict.KEEP, second: Verdict.REMOVE},
        {first: Verdict.REMOVE, third: Verdict.KEEP},
        {second: None},
    ):
        verdicts.set(given)
        stamps.append(verdicts.stamp())
    assert verdicts.of(collection_id) == {first: Verdict.REMOVE, third: Verdict.KEEP}
    assert len(set(stamps)) == len(stamps), "a change that the stamp does not show"
    verdicts.set({})
    assert verdicts.stamp() == stamps[-1]


def test_verdicts_on_images_that_are_gone_or_elsewhere_are_not_told(catalog: Catalog) -> None:
    collection_id, _, (first, second, *_) = filled(catalog)
    verdicts = CopyVerdicts(catalog)
    verdicts.set({first: Verdict.KEEP, second: Verdict.REMOVE, 999_999: Verdict.KEEP})
    catalog.mark_gone(collection_id, [second])
    assert verdicts.of(collection_id) == {first: Verdict.KEEP}
    assert verdicts.of(collection_id + 1) == {}


def test_members_come_in_pages_from_typical_to_marginal(catalog: Catalog) -> None:
    collection_id, space_id, ids = filled(catalog)
    middle = np.array([1, 0, 0, 0], np.float16)
    run_id = ClusterRecords(catalog).save_run(
        collection_id,
        space_id,
        "run",
        parameters={},
        revision=1,
        clusters=[StoredCluster(0, "all", False, ids[0], 3, 0.5, {}, middle)],
        members=Members(
            np.array(ids, np.int64),
            np.array([0, 0, 0, -1], np.int32),
            np.array([0.5, 0.9, 0.7, 0.0], np.float32),
        ),
    )
    typical = [row for n in range(4) for row in member_page(catalog, run_id, 0, offset=n, limit=1)]
    assert [image_id for image_id, _ in typical] == [ids[1], ids[2], ids[0]]
    marginal = member_page(catalog, run_id, 0, offset=0, limit=2, least=True)
    assert [(i, round(close, 4)) for i, close in marginal] == [(ids[0], 0.5), (ids[2], 0.7)]
    assert member_page(catalog, run_id, -1, offset=0, limit=9) == [(ids[3], 0.0)]
    catalog.mark_gone(collection_id, [ids[1]])
    assert [i for i, _ in member_page(catalog, run_id, 0, offset=0, limit=9)] == [ids[2], ids[0]]


def test_points_have_the_times_and_folders_of_ready_images(catalog: Catalog) -> None:
    collection_id, _, ids = filled(catalog)
    catalog.mark_gone(collection_id, [ids[0]])
    found = point_facts(catalog, collection_id)
    assert found.image_ids.tolist() == ids[1:]
    assert [found.names[n] for n in found.folders] == ["/photos/b", "/photos/a", "/photos/b"]
    noon = int((datetime(2020, 1, 3, 12) - datetime(1970, 1, 1)).total_seconds())
    assert found.taken_s.tolist() == [-1, noon, -1]
    assert point_facts(catalog, collection_id + 1).names == ()
