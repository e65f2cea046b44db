"""Runs are saved and repeated; what people decided survives them; new images join quietly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Stored
from likeness.catalog.sorting.clusters import ClusterRecords
from likeness.errors import QueryError
from likeness.types import ImageFacts, Tower
from search.clusters.methods import Method, Size
from search.clusters.service import Clusterer, ClusterRequest
from tests.fakes.encoder import FakeEncoder

D = 16


class Library:
    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.collection = catalog.create_collection("default")
        self.space = catalog.ensure_space(
            self.collection.id, encoder="e", fingerprint="f", dim=D, towers=frozenset({Tower.IMAGE})
        )
        self.records = ClusterRecords(catalog)
        self.clusterer = Clusterer(catalog, self.space, folder)
        self.random = np.random.default_rng(0)
        self.centres = self.random.standard_normal((4, D))
        self.count = 0

    def put(self, kind: int, count: int, spread: float = 0.2) -> list[int]:
        items = []
        rows = self.centres[kind] + spread * self.random.standard_normal((count, D))
        for number in range(count):
            name = f"/p/kind{kind}/{self.count:04}.jpg"
            digest = f"{self.count:064x}"
            items.append(
                Stored(SourceFacts(f"file://{name}", name, digest), ImageFacts(9, 9, "png"), number)
            )
            self.count += 1
        unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
        return list(
            self.catalog.commit_batch(
                self.collection.id, Batch(items, {self.space.id: unit})
            ).stored
        )

    def sizes(self, name: str) -> dict[str, int]:
        run = self.records.run(self.collection.id, name)
        return {cluster.name: cluster.size for cluster in self.records.clusters(run.id)}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as catalog:
        library = Library(catalog, tmp_path)
        for kind, count in enumerate((30, 25, 20)):
            library.put(kind, count)
        yield library


REQUEST = ClusterRequest(Method.KMEANS, name="mine", k=3)


def test_a_run_is_saved_with_covers_names_and_facts(library: Library) -> None:
    run = library.clusterer.run(REQUEST)
    assert library.sizes("mine") == {"kind0": 30, "kind1": 25, "kind2": 20}
    for cluster in library.records.clusters(run.id):
        members = library.records.members(run.id, cluster.number)
        assert cluster.cover_id in members.image_ids
        assert cluster.cover_id == library.records.typical(run.id, cluster.number, 1)[0]
        assert 0.8 < cluster.coherence <= 1
        assert cluster.facts["folders"] == [f"/p/kind{cluster.number}"]
    assert ClusterRequest.of(run) == REQUEST
    assert library.clusterer.run(ClusterRequest.of(run)).id == run.id


def test_new_images_join_and_no_other_moves(library: Library) -> None:
    run = library.clusterer.run(REQUEST)
    before = library.records.members(run.id)
    near, far = library.put(1, 6, spread=0.02), library.put(3, 4)
    assert library.clusterer.extend(run) == 10
    after = library.records.members(run.id)
    numbers = dict(zip(after.image_ids.tolist(), after.numbers.tolist(), strict=True))
    assert [numbers[i] for i in before.image_ids.tolist()] == before.numbers.tolist()
    assert {numbers[i] for i in near} == {1}
    assert {numbers[i] for i in far} == {-1}
    assert library.sizes("mine")["kind1"] == 31
    assert library.clusterer.extend(run) == 0


def test_a_name_given_survives_a_re_run(library: Library) -> None:
    run = library.clusterer.run(REQUEST)
    library.clusterer.rename(run, 2, "holidays")
    assert library.sizes("mine")["holidays"] == 20
    library.put(2, 30)  # now the largest: its number changes
    again = library.clusterer.run(REQUEST)
    clusters = library.records.clusters(again.id)
    assert (clusters[0].name, clusters[0].size) == ("holidays", 50)
    assert clusters[0].named_by_user
    assert sum(c.named_by_user for c in clusters) == 1


def test_a_merge_survives_a_re_run(library: Library) -> None:
    run = library.clusterer.run(REQUEST)
    library.clusterer.rename(run, 0, "animals")
    library.clusterer.merge(run, [0, 1])
    assert sorted(library.sizes("mine").values()) == [20, 55]
    assert library.sizes("mine")["animals"] == 55
    library.put(0, 5)
    library.clusterer.run(REQUEST)
    assert library.sizes("mine") == {"animals": 60, "kind2": 20}


def test_a_split_survives_a_re_run(library: Library) -> None:
    two = ClusterRequest(Method.KMEANS, name="two", k=2)
    run = library.clusterer.run(two)
    largest = library.records.clusters(run.id)[0]
    library.clusterer.split(run, largest.number)
    sizes = sorted(library.sizes("two").values())
    assert len(sizes) == 3
    library.clusterer.run(two)
    assert sorted(library.sizes("two").values()) == sizes


def test_leiden_reads_the_stored_graph(library: Library, tmp_path: Path) -> None:
    run = library.clusterer.run(ClusterRequest(Method.LEIDEN, Size.LARGE))
    assert run.name == "leiden-large"
    assert (tmp_path / "graph.bin").exists()
    assert library.clusterer.outliers(2)


def test_words_name_clusters_where_a_space_understands_them(library: Library) -> None:
    encoder = FakeEncoder()
    words = library.catalog.ensure_space(
        library.collection.id,
        encoder=encoder.spec.name,
        fingerprint=encoder.fingerprint,
        dim=encoder.spec.dim,
        towers=encoder.spec.towers,
    )
    clusterer = Clusterer(
        library.catalog, words, Path("unused"), word_space=words, encoder_of=lambda _space: encoder
    )
    with pytest.raises(QueryError, match="no images to cluster"):
        clusterer.run(REQUEST)
    items, vectors = [], []
    for number, colour in enumerate(["red"] * 6 + ["blue"] * 5):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[..., 0 if colour == "red" else 2] = 220
        source = SourceFacts(f"file:///c/{number}", f"/c/{number}", f"{900 + number:064x}")
        items.append(Stored(source, ImageFacts(32, 32, "png"), number))
        vectors.append(encoder.embed([pixels])[0])
    batch = Batch(items, {words.id: np.stack(vectors).astype(np.float16)})
    library.catalog.commit_batch(library.collection.id, batch)
    request = ClusterRequest(Method.KMEANS, name="w", k=2, words=["red", "blue"])
    run = clusterer.run(request)
    names = [cluster.name for cluster in library.records.clusters(run.id)]
    assert names[0].startswith("red")
    assert names[1].startswith("blue")


def test_what_cannot_be_done_is_said(library: Library) -> None:
    with pytest.raises(QueryError, match="has not been clustered"):
        library.records.run(library.collection.id, None)
    run = library.clusterer.run(REQUEST)
    with pytest.raises(QueryError, match="there are: mine"):
        library.records.run(library.collection.id, "yours")
    with pytest.raises(QueryError, match="no cluster 9"):
        library.clusterer.rename(run, 9, "x")
    with pytest.raises(QueryError, match="at least two"):
        library.clusterer.merge(run, [1, 1])
    with pytest.raises(QueryError, match="empty"):
        library.clusterer.rename(run, 1, "  ")
    library.records.drop_run(run.id)
    assert library.records.runs(library.collection.id) == []
