"""Queries stay right while images come and go and indexes are renewed behind them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from indexer.compaction import Compactor
from indexer.publish import Published, publish
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.errors import SnapshotNotWritten
from likeness.types import ImageFacts, Tower
from search.spaces import SpaceReader
from tests.fakes.vectors import as_queries, brute_force, unit_vectors
from tests.services.catalogs import catalog, catalog_url

__all__ = ["catalog", "catalog_url"]

DIM = 16
EXISTING, ADDED, DELETED, STEP = 3000, 600, 600, 50
ROWS = unit_vectors(EXISTING + ADDED, DIM, 0, groups=40)


@pytest.mark.parametrize("kind", ["exact", "compressed", "ivf"])
def test_every_answer_is_that_of_brute_force_while_images_come_and_go(
    catalog: Catalog, tmp_path: Path, kind: str
) -> None:
    """What was committed before a query is in its answer, and what was deleted is not."""
    space = _space(catalog)
    ids = _commit(catalog, space.collection_id, space.id, 0, EXISTING)
    folder = tmp_path / "index"
    publish(catalog, space, folder, kind=kind)
    alive = dict(zip(ids, ROWS[:EXISTING], strict=True))
    queries = as_queries(ROWS[[5, 1700, EXISTING + 3]] + unit_vectors(3, DIM, 5) * np.float16(0.2))
    reader = SpaceReader(catalog, space, folder)
    compactor = Compactor(
        lambda: [space],
        lambda _: True,
        lambda each: publish(catalog, each, folder, kind=kind),
        interval_s=0.01,
        rest_factor=0.2,
    )
    shares = []
    with compactor:
        for start in range(0, ADDED, STEP):
            new = _commit(catalog, space.collection_id, space.id, EXISTING + start, STEP)
            alive |= zip(new, ROWS[EXISTING + start : EXISTING + start + STEP], strict=True)
            doomed = ids[start : start + STEP]
            catalog.mark_gone(space.collection_id, doomed)
            for image_id in doomed:
                del alive[image_id]
            shares.append(_share_found(reader, alive, queries))
        deadline = time.monotonic() + 120
        while not compactor.published and time.monotonic() < deadline:
            time.sleep(0.05)
    assert compactor.published, "nothing was compacted meanwhile"
    shares.append(_share_found(reader, alive, queries, wait=True))
    assert reader.view().snapshot is not None
    assert reader.notices == []
    reader.close()
    assert min(shares) >= 0.9
    assert kind != "exact" or min(shares) == 1.0


def _space(catalog: Catalog) -> Space:
    return catalog.ensure_space(
        catalog.create_collection("default").id,
        encoder="fake:rows",
        fingerprint="f",
        dim=DIM,
        towers=frozenset({Tower.IMAGE}),
    )


def _commit(catalog: Catalog, collection_id: int, space_id: int, start: int, n: int) -> list[int]:
    items = [
        Stored(
            SourceFacts(f"file:///{at}", f"/{at}", f"{at:064x}", size=1),
            ImageFacts(8, 8, "png"),
            at - start,
        )
        for at in range(start, start + n)
    ]
    batch = Batch(items, {space_id: ROWS[start : start + n]})
    return list(catalog.commit_batch(collection_id, batch).stored)


def _share_found(
    reader: SpaceReader, alive: dict[int, np.ndarray], queries: np.ndarray, *, wait: bool = False
) -> float:
    """Every id is alive with its exact score, ten come back; the share of the ten nearest."""
    view = reader.view(wait=wait)
    found = view.search(queries, 10)
    ids = np.array(sorted(alive), dtype=np.int64)
    rows = np.stack([alive[i] for i in ids.tolist()])
    hits = 0
    for at, query in enumerate(queries):
        near, scores = found.row(at)
        assert len(near) == 10
        every_id, every_score = brute_force(ids, rows, query, len(ids))
        score_of = dict(zip(every_id, every_score, strict=True))
        assert scores.tolist() == [score_of[i] for i in near.tolist()]
        hits += int((scores >= every_score[9]).sum())
    assert len(view) == len(alive)
    return hits / (10 * len(queries))


def test_a_compactor_outlives_a_full_disk(catalog: Catalog, tmp_path: Path) -> None:
    space = _space(catalog)
    _commit(catalog, space.collection_id, space.id, 0, 100)
    failed = threading.Event()

    def fails_once(each: Space) -> Published:
        if not failed.is_set():
            failed.set()
            raise SnapshotNotWritten(str(tmp_path), "No space left on device")
        return publish(catalog, each, tmp_path / "index")

    compactor = Compactor(
        lambda: [space],
        lambda _: True,
        fails_once,
        interval_s=0.01,
        rest_factor=0,
    )
    with compactor:
        deadline = time.monotonic() + 60
        while not compactor.published and time.monotonic() < deadline:
            time.sleep(0.02)
    assert failed.is_set()
    assert compactor.published
