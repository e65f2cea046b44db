"""The indexes of a service: renewed while it serves, and told of in its metrics."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from starlette.testclient import TestClient

from indexer.publish import FEW_CHANGES
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.types import ImageFacts
from tests.fakes.vectors import unit_vectors
from tests.integration.api.conftest import open_client, open_runtime
from tests.integration.api.test_routes import search

MANY = FEW_CHANGES + 200
OURS = {"collection": "default", "encoder": "fake:colours"}


def samples(client: TestClient, name: str) -> list[Sample]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return [sample for family in families for sample in family.samples if sample.name == name]


def commit_many(catalog: Catalog, space: Space) -> None:
    items = [
        Stored(
            SourceFacts(f"file:///many/{at}", f"/many/{at}", f"{at:064x}", size=1),
            ImageFacts(8, 8, "png"),
            at,
        )
        for at in range(MANY)
    ]
    rows = unit_vectors(MANY, space.dim, 3, groups=40)
    catalog.commit_batch(space.collection_id, Batch(items, {space.id: rows}))


def test_a_running_service_renews_its_index_and_answers_meanwhile(tmp_path: Path) -> None:
    settings = {"index_interval_s": 0.02, "index": "compressed"}
    with open_runtime(tmp_path, **settings) as runtime, open_client(runtime) as client:
        catalog = runtime.catalog
        collection = catalog.collection("default")
        space = catalog.spaces(collection.id)[0]
        first = catalog.head(collection.id, space.id).snapshot
        assert first is not None
        commit_many(catalog, space)
        deadline = time.monotonic() + 60
        while (now := catalog.head(collection.id, space.id).snapshot) == first:
            assert time.monotonic() < deadline, "the index was never renewed"
            assert len(search(client, {"text": "red"}, k=20)["hits"]) == 20
            time.sleep(0.02)
        assert now is not None
        assert now.manifest["count"] == MANY + 12
        (images,) = samples(client, "likeness_index_images")
        built = samples(client, "likeness_index_built_timestamp_seconds")
        recall = samples(client, "likeness_index_recall")
    assert (images.labels["kind"], images.value) == ("compressed", MANY + 12)
    assert [sample.labels for sample in built] == [OURS]
    assert {(s.labels["queries"], s.labels["filter"], s.labels["depth"]) for s in recall} == set(
        product(("image", "text"), ("all", "filter_10%", "filter_1%"), ("10", "100"))
    )
    assert all(0.98 <= sample.value <= 1 for sample in recall)


def test_a_service_that_leaves_indexes_to_others_renews_none(tmp_path: Path) -> None:
    with (
        open_runtime(tmp_path, index_interval_s=0) as runtime,
        open_client(runtime) as client,
    ):
        catalog = runtime.catalog
        collection = catalog.collection("default")
        space = catalog.spaces(collection.id)[0]
        first = catalog.head(collection.id, space.id).snapshot
        commit_many(catalog, space)
        time.sleep(0.3)
        search(client, {"text": "red"})
        assert catalog.head(collection.id, space.id).snapshot == first
        (tail,) = samples(client, "likeness_index_tail_images")
        (recall,) = samples(client, "likeness_index_recall")
    assert (tail.labels, tail.value) == (OURS, MANY)
    assert recall.labels == OURS | {"queries": "any", "filter": "any", "depth": "any"}
    assert recall.value == 1
