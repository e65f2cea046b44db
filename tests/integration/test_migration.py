"""A collection changes its encoder while it answers, and can go back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indexer.migration import agreement, forget_retired, roll_back
from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.catalog.records import Space, SpaceState
from likeness.catalog.space_states import drop_space, switch_spaces
from likeness.errors import CatalogError, InputError
from likeness.settings import load_settings
from search.opening import open_searcher
from search.request import IdTerm, SearchRequest
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime

OLD, NEW = "fake:colours", "fake:second"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[FakeRuntime]:
    settings = load_settings(home=tmp_path / "home", decode_workers=1, commit_rows=5)
    encoders = FakeEncoder(OLD, batch_size=4), FakeEncoder(NEW, batch_size=4, seed=1)
    with FakeRuntime(settings, *encoders) as runtime:
        write_pictures(tmp_path / "photos", 12)
        index(runtime, tmp_path / "photos")
        yield runtime


def index(runtime: FakeRuntime, folder: Path) -> None:
    request = IndexRequest("default", sources=[str(folder)])
    assert Indexer(runtime).index(request, Progress(), threading.Event()).complete


def migrate(runtime: FakeRuntime, to: str = NEW, *, switch_over: bool = True):
    return Indexer(runtime).migrate(
        "default", to, Progress(), threading.Event(), switch_over=switch_over
    )


def states(runtime: FakeRuntime) -> dict[str, SpaceState]:
    collection = runtime.catalog.collection("default")
    return {space.encoder: space.state for space in runtime.catalog.spaces(collection.id)}


def spaces(runtime: FakeRuntime) -> list[Space]:
    return runtime.catalog.spaces(runtime.catalog.collection("default").id)


def answering(runtime: FakeRuntime) -> str:
    """The encoder that answers a question about the first image."""
    collection = runtime.catalog.collection("default")
    first = int(runtime.catalog.filter_ids(collection.id)[0])
    searcher = open_searcher(runtime)
    try:
        answer = searcher.search("default", SearchRequest((IdTerm(first),), k=3))
        assert len(answer.hits) == 3
        return answer.encoder
    finally:
        searcher.close()


def test_the_old_encoder_answers_until_the_new_one_is_complete(runtime: FakeRuntime) -> None:
    report, compared = migrate(runtime, switch_over=False)
    assert report.complete
    assert compared is not None
    assert states(runtime) == {OLD: SpaceState.ACTIVE, NEW: SpaceState.FILLING}
    assert answering(runtime) == OLD
    migrate(runtime)
    assert states(runtime) == {OLD: SpaceState.RETIRED, NEW: SpaceState.ACTIVE}
    assert answering(runtime) == NEW


def test_a_migration_that_is_stopped_switches_nothing_and_goes_on_later(
    runtime: FakeRuntime,
) -> None:
    stop = threading.Event()
    stop.set()
    report, compared = Indexer(runtime).migrate("default", NEW, Progress(), stop)
    assert (report.complete, compared) == (False, None)
    assert answering(runtime) == OLD
    report, compared = migrate(runtime)
    assert report.complete
    assert compared is not None
    assert answering(runtime) == NEW


def test_the_way_back_is_one_step_until_it_is_given_up(runtime: FakeRuntime) -> None:
    migrate(runtime)
    roll_back(runtime.catalog, "default", OLD)
    assert answering(runtime) == OLD
    assert states(runtime)[NEW] is SpaceState.RETIRED
    assert forget_retired(runtime.catalog, "default", runtime.index_dir) == [NEW]
    assert states(runtime) == {OLD: SpaceState.ACTIVE}
    with pytest.raises(InputError, match="keeps no retired space of fake:second"):
        roll_back(runtime.catalog, "default", NEW)


def test_going_back_waits_for_what_was_added_since(runtime: FakeRuntime, tmp_path: Path) -> None:
    migrate(runtime)
    write_pictures(tmp_path / "more", 15)
    index(runtime, tmp_path / "more")
    with pytest.raises(InputError, match="added since fake:colours was retired"):
        roll_back(runtime.catalog, "default", OLD)
    migrate(runtime, OLD)
    assert states(runtime) == {OLD: SpaceState.ACTIVE, NEW: SpaceState.RETIRED}


def test_spaces_that_hold_the_same_vectors_agree_wholly(runtime: FakeRuntime) -> None:
    """The second fake turns signs, which leaves every dot product as it is."""
    migrate(runtime, switch_over=False)
    old, new = spaces(runtime)
    compared = agreement(runtime.catalog, old, new, sample=5)
    assert compared.shared == {1: 1.0, 10: 1.0, 100: 1.0}
    assert (compared.queries, compared.images) == (5, 12)
    assert compared.as_dict()["shared"] == {"@1": 1.0, "@10": 1.0, "@100": 1.0}


def test_a_switch_that_another_one_forestalled_does_nothing(runtime: FakeRuntime) -> None:
    migrate(runtime, switch_over=False)
    old, new = spaces(runtime)
    wrong = {old.id: SpaceState.RETIRED}
    assert not switch_spaces(
        runtime.catalog, old.collection_id, {new.id: SpaceState.ACTIVE}, expected=wrong
    )
    assert states(runtime)[NEW] is SpaceState.FILLING
    with pytest.raises(CatalogError, match="no space"):
        switch_spaces(runtime.catalog, old.collection_id, {9_999: SpaceState.ACTIVE}, expected={})


def test_a_space_that_answers_is_not_dropped(runtime: FakeRuntime) -> None:
    with pytest.raises(CatalogError, match="answers queries"):
        drop_space(runtime.catalog, spaces(runtime)[0].id)
    ids = runtime.catalog.filter_ids(spaces(runtime)[0].collection_id)
    assert len(runtime.catalog.vectors(spaces(runtime)[0].id, np.asarray(ids))[0]) == 12
