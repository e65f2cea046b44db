"""Writers that meet: nothing is stored twice, nothing is lost, readers see whole commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, Moved
from tests.fakes.catalogs import failed, make_space, source, store, vectors_of


def together(n: int, work: Callable[[int], object]) -> list[object]:
    """Run work(0) … work(n - 1) in n threads that start at the same time."""
    gate = threading.Barrier(n)

    def run(i: int) -> object:
        gate.wait(timeout=60)
        return work(i)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


def test_two_indexers_of_one_folder_store_everything_once(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as one, Catalog.open(catalog_url) as two:
        space = make_space(one, one.create_collection("default"))
        batches = [{f"{b}/{i}": 10 * b + i // 2 for i in range(10)} for b in range(8)]

        def index(i: int) -> None:
            for number in range(8) if i % 2 else reversed(range(8)):
                bad = failed(f"bad {number}", None)
                store((one, two)[i % 2], space, batches[number], others=[bad])

        together(4, index)
        counts = one.counts(space.collection_id)
        assert (counts.ready, counts.failed, counts.gone) == (80, 8, 0)
        (summary,) = one.collections()
        assert summary.spaces[0].stored_bytes == 2 * space.dim * 40
        assert summary.collection.revision == 8
        for image_ids, vectors in one.stream_vectors(space.id):
            found = one.images(space.collection_id, image_ids)
            names = [found[i].path for i in image_ids.tolist()]
            contents = [10 * int(n[1]) + int(n[3]) // 2 for n in names]
            assert np.array_equal(vectors, vectors_of(contents))


def test_two_indexers_that_saw_one_move_agree(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        names = {f"{i}": i for i in range(20)}
        ids = store(catalog, space, names).stored
        moves = [
            Moved(source(f"moved {i}", i), image_id, from_uri=f"file:///{i}")
            for i, image_id in enumerate(ids)
        ]
        together(2, lambda _: catalog.commit_batch(space.collection_id, Batch(moves)))
        assert catalog.filter_ids(space.collection_id).tolist() == list(ids)
        assert catalog.counts(space.collection_id).gone == 0


def test_a_reader_that_follows_the_changes_always_knows_whole_commits(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        done = threading.Event()
        problems: list[str] = []

        def follow() -> None:
            known: set[int] = set()
            revision = 0
            while True:
                last = done.is_set()
                changes = catalog.changes_since(space.id, revision)
                if changes.revision < revision:
                    problems.append("a revision went back")
                revision = changes.revision
                known |= set(changes.added_ids.tolist())
                known -= set(changes.dead_ids.tolist())
                if len(known) % 10:
                    problems.append(f"{len(known)} images, but commits are of 10")
                if last:
                    break
            if sorted(known) != catalog.filter_ids(space.collection_id).tolist():
                problems.append("the reader missed something")

        def write(i: int) -> None:
            for batch in range(12):
                names = {f"{i} {batch} {k}": k for k in range(10)}
                ids = store(catalog, space, names).stored
                if batch % 3 == 0:
                    catalog.mark_gone(space.collection_id, ids)
                if batch % 6 == 0:
                    store(catalog, space, names)

        followers = [threading.Thread(target=follow) for _ in range(2)]
        for follower in followers:
            follower.start()
        together(3, write)
        done.set()
        for follower in followers:
            follower.join(timeout=60)
        assert problems == []


def test_only_one_of_many_publishers_wins(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        won = together(
            6,
            lambda i: catalog.publish_snapshot(
                space.id, name=f"{i}", revision=0, manifest={}, expected=None
            ),
        )
        assert sorted(map(bool, won)) == [False] * 5 + [True]


def test_a_collection_made_by_many_at_once_is_one(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as catalog:
        made = together(6, lambda _: catalog.create_collection("default"))
        assert len(set(made)) == 1
        spaces = together(6, lambda _: make_space(catalog, catalog.collection("default")))
        assert len(set(spaces)) == 1
