"""A space whose candidates come from Milvus: filled from SQL, searched, renewed and swept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.errors import SettingsError, SnapshotError
from likeness.types import ImageState
from likeness.vectors import milvus
from likeness.vectors.candidates import CandidateIndex
from likeness.vectors.idset import IdSet
from search.spaces import SpaceReader
from tests.fakes.catalogs import make_space, store, vectors_of
from tests.fakes.vectors import as_queries, brute_force

pytest.importorskip("pymilvus", reason="pymilvus is not installed")
pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    yield f"milvus:{tmp_path / 'lite.db'}"
    milvus.close_clients()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}") as catalog:
        yield catalog


def test_a_milvus_space_answers_as_brute_force_while_it_changes_and_leaves_nothing_behind(
    catalog: Catalog, tmp_path: Path, server: str
) -> None:
    collection = catalog.create_collection("default")
    space = make_space(catalog, collection)
    store(catalog, space, {f"{i}.png": i for i in range(60)})
    folder = tmp_path / "index"
    publish(catalog, space, folder, kind="milvus", server=server)
    reader = SpaceReader(catalog, space, folder, server=server)
    view = reader.view()
    assert isinstance(view.base, CandidateIndex)
    assert view.base.knobs.direct == 0  # so few that no direct scan was measured
    ids = catalog.filter_ids(collection.id)
    catalog.mark_gone(collection.id, ids[:10].tolist())
    store(catalog, space, {f"new {i}.png": 1000 + i for i in range(5)})
    alive = catalog.filter_ids(collection.id)
    contents = {
        row.id: int(row.path.removeprefix("/").removesuffix(".png").replace("new ", "100"))
        for row in catalog.list_images(collection.id, state=ImageState.READY)
    }
    rows = vectors_of([contents[i] for i in alive.tolist()])
    for allowed in (None, IdSet(alive[::2]), IdSet(alive[-3:])):
        found = reader.view().search(as_queries(vectors_of([7, 500])), 5, allowed=allowed)
        for at, query in enumerate(as_queries(vectors_of([7, 500]))):
            expected = brute_force(alive, rows, query, 5, allowed=allowed)
            near, scores = found.row(at)
            assert (near.tolist(), scores.tolist()) == expected
    for _ in range(3):
        publish(catalog, space, folder, kind="milvus", server=server)
    kept = {path.name for path in folder.iterdir() if path.is_dir()}
    assert len(kept) == 2  # the current one and the one before it
    assert len(milvus._client(server).list_collections()) == 2
    assert reader.view(wait=True).base.ids.tolist() == alive.tolist()
    reader.close()


def test_a_server_that_is_none_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LIKENESS_INDEX_URL"):
        milvus.fill("", "c", np.arange(3), vectors_of([1, 2, 3]))


def test_a_collection_that_is_gone_is_named_with_the_remedy(server: str) -> None:
    milvus.fill(server, "there", np.arange(3), vectors_of([1, 2, 3]))
    with pytest.raises(SnapshotError, match=r"no collection gone; .*reindex --index milvus"):
        milvus.MilvusProposer(server, "gone", np.arange(3))


def test_a_token_is_never_shown() -> None:
    assert milvus._shown("milvus://secret@host:19530") == "milvus://host:19530"
