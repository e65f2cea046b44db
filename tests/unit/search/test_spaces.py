"""Readers of a space: always fresh, never wrong, whatever becomes of the index on disk."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.catalog.records import SnapshotState
from likeness.vectors.idset import IdSet
from search.spaces import SpaceReader
from search.view import View
from tests.fakes.catalog import FakeSpaceCatalog
from tests.fakes.vectors import as_queries, brute_force, unit_vectors

DIM = 6
POOL = unit_vectors(60, DIM, 0, groups=6)
POOL[20:26] = POOL[3]  # copies
QUERIES = as_queries(unit_vectors(2, DIM, 1))


def publish_to(catalog: FakeSpaceCatalog, folder: Path) -> str:
    return publish(cast(Catalog, catalog), catalog.space, folder).name


def answers(view: View, k: int, allowed: IdSet | None = None) -> list[Any]:
    found = view.search(QUERIES, k, allowed=allowed)
    return [[part.tolist() for part in found.row(row)] for row in range(len(QUERIES))]


def truth(catalog: FakeSpaceCatalog, k: int, allowed: IdSet | None = None) -> list[Any]:
    ids = catalog.ready_ids
    rows = catalog.rows_of(ids)
    return [list(brute_force(ids, rows, query, k, allowed=allowed)) for query in QUERIES]


def check(view: View, catalog: FakeSpaceCatalog) -> None:
    assert view.revision == catalog.revision
    assert len(view) == len(catalog.ready_ids)
    some = IdSet(range(0, 60, 3))
    for k in (1, 5, 70):
        assert answers(view, k) == truth(catalog, k)
        assert answers(view, k, some) == truth(catalog, k, some)
    assert view.matched(some) == len(some & IdSet(catalog.ready_ids))
    held, rows = view.vectors(np.arange(59, -1, -1))
    assert held.tolist() == catalog.ready_ids.tolist()[::-1]
    assert (rows == catalog.rows_of(held)).all()


ids_strategy = st.lists(st.integers(0, 59), unique=True, min_size=1, max_size=30)
events = st.lists(
    st.one_of(
        st.tuples(st.just("add"), ids_strategy),
        st.tuples(st.just("kill"), ids_strategy),
        st.tuples(st.just("publish"), st.none()),
        st.tuples(st.just("tag"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("damage"), st.none()),
        st.tuples(st.just("look"), st.booleans()),
    ),
    max_size=14,
)


@given(events)
@settings(max_examples=40, deadline=None)
def test_snapshot_and_tail_together_are_the_truth_of_the_catalog(
    steps: list[tuple[str, Any]],
) -> None:
    catalog = FakeSpaceCatalog(DIM)
    folder = Path(tempfile.mkdtemp(prefix="likeness-test-"))
    reader = SpaceReader(catalog, catalog.space, folder)
    try:
        for what, detail in [*steps, ("look", False), ("look", True)]:
            if what == "add":
                catalog.add(detail, POOL[detail])
            elif what == "kill":
                catalog.kill(detail)
            elif what == "tag":
                catalog.tag()
            elif what == "publish":
                publish_to(catalog, folder)
            elif what == "reopen":
                reader.close()
                reader = SpaceReader(catalog, catalog.space, folder)
            elif what == "damage":
                for file in folder.glob("r*/vectors.f16"):
                    file.unlink()
            else:
                check(reader.view(wait=detail), catalog)
    finally:
        reader.close()
        shutil.rmtree(folder)


@pytest.fixture
def catalog() -> FakeSpaceCatalog:
    fake = FakeSpaceCatalog(DIM)
    fake.add(range(30), POOL[:30])
    return fake


@pytest.fixture
def reader(catalog: FakeSpaceCatalog, tmp_path: Path):
    opened = SpaceReader(catalog, catalog.space, tmp_path)
    yield opened
    opened.close()


def test_when_nothing_changed_a_query_costs_one_question(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    publish_to(catalog, tmp_path)
    first = reader.view()
    catalog.questions.clear()
    assert reader.view() is first
    assert catalog.questions == ["head"]


def test_a_view_that_is_held_does_not_change(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    publish_to(catalog, tmp_path)
    view = reader.view()
    before = answers(view, 10)
    catalog.kill(range(15))
    catalog.add(range(30, 60), POOL[30:])
    publish_to(catalog, tmp_path)
    check(reader.view(wait=True), catalog)
    assert answers(view, 10) == before


def test_a_newer_index_is_taken_up_and_the_tail_begins_anew(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    first = publish_to(catalog, tmp_path)
    assert reader.view().snapshot == first
    catalog.add([40], POOL[40:41])
    reader.view()
    assert reader.tail_rows == 1
    second = publish_to(catalog, tmp_path)
    view = reader.view(wait=True)
    assert (view.snapshot, reader.tail_rows) == (second, 0)
    check(view, catalog)


def test_a_damaged_index_is_set_aside_and_the_one_before_it_answers(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    first = publish_to(catalog, tmp_path)
    catalog.kill([1, 2, 3])
    second = publish_to(catalog, tmp_path)
    (tmp_path / second / "ids.i64").unlink()
    view = reader.view()
    assert view.snapshot == first
    check(view, catalog)
    assert [notice.code for notice in reader.notices] == ["index_damaged"]
    assert second in reader.notices[0].message
    aside = [row for row in catalog.rows if row.name == second]
    assert aside[0].state is SnapshotState.ASIDE
    assert "ids.i64 is missing" in str(aside[0].reason)


def test_without_any_whole_index_the_catalog_answers(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    for _ in range(2):
        name = publish_to(catalog, tmp_path)
        (tmp_path / name / "vectors.f16").unlink()
    view = reader.view()
    assert view.snapshot is None
    check(view, catalog)
    assert len(reader.notices) == 2
    third = publish_to(catalog, tmp_path)
    view = reader.view(wait=True)
    assert view.snapshot == third
    assert reader.notices == []


def test_an_absent_index_is_reported_but_not_set_aside(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    name = publish_to(catalog, tmp_path)
    shutil.rmtree(tmp_path / name)
    check(reader.view(), catalog)
    assert [notice.code for notice in reader.notices] == ["index_missing"]
    assert catalog.rows[0].state is SnapshotState.CURRENT


def test_an_index_of_another_history_never_answers(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    publish_to(catalog, tmp_path)
    catalog.history = "restored from a backup"
    check(reader.view(), catalog)
    assert "another history" in reader.notices[0].message


def test_an_index_whose_manifest_is_not_the_catalogs_never_answers(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    first = publish_to(catalog, tmp_path)
    catalog.kill([5])
    second = publish_to(catalog, tmp_path)
    shutil.rmtree(tmp_path / second)
    (tmp_path / first).rename(tmp_path / second)  # whole, but not the one that is meant
    check(reader.view(), catalog)
    assert "not the one in the catalog" in reader.notices[0].message


def test_a_newer_index_that_is_damaged_leaves_the_present_one_serving(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    first = publish_to(catalog, tmp_path)
    check(reader.view(), catalog)
    second = publish_to(catalog, tmp_path)
    (tmp_path / second / "manifest.json").unlink()
    view = reader.view(wait=True)
    assert view.snapshot == first
    assert [notice.code for notice in reader.notices] == ["index_damaged"]
    catalog.add([50], POOL[50:51])
    check(reader.view(wait=True), catalog)


def test_a_mapped_index_that_is_written_to_is_dropped_at_the_next_query(
    catalog: FakeSpaceCatalog, tmp_path: Path
) -> None:
    name = publish_to(catalog, tmp_path)
    reader = SpaceReader(catalog, catalog.space, tmp_path, in_memory_bytes=0)
    assert reader.view().snapshot == name
    victim = tmp_path / name / "vectors.f16"
    victim.chmod(0o644)
    with victim.open("r+b") as file:
        file.write(bytes(64))
    check(reader.view(), catalog)
    assert reader.view().snapshot is None
    assert "while it served" in reader.notices[0].message
    reader.close()


def test_an_index_that_is_replaced_while_it_is_opened_is_no_damage(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    name = publish_to(catalog, tmp_path)
    shutil.rmtree(tmp_path / name)
    head = catalog.head(1, 1)
    catalog.forget(1, name)
    fresh = publish_to(catalog, tmp_path)
    catalog.head = lambda *_: head  # type: ignore[method-assign]  # what the reader was told
    check(reader.view(), catalog)
    assert reader.notices == []
    del catalog.head  # type: ignore[method-assign]
    assert reader.view(wait=True).snapshot == fresh


def guarded_by(guard: threading.RLock, call: Any) -> Any:
    """The call, made atomic, as the real catalog's are; a generator is run to its end."""

    def guarded(*arguments: Any, **options: Any) -> Any:
        with guard:
            answer = call(*arguments, **options)
            return iter(list(answer)) if hasattr(answer, "__next__") else answer

    return guarded


def test_queries_go_on_while_commits_and_publishes_happen(
    catalog: FakeSpaceCatalog, reader: SpaceReader, tmp_path: Path
) -> None:
    guard, wrong, stop = threading.RLock(), list[object](), threading.Event()
    publish_to(catalog, tmp_path)
    for name in ("head", "changes_since", "stream_vectors", "snapshots", "publish_snapshot"):
        setattr(catalog, name, guarded_by(guard, getattr(catalog, name)))

    def ask() -> None:
        last = 0
        while not stop.is_set():
            with guard:
                least, always = catalog.revision, set(catalog.ready_ids.tolist()) & set(range(10))
            view = reader.view()
            found = set(view.search(QUERIES, 60).row(0)[0].tolist())
            if view.revision < max(least, last) or not always <= found or len(found) != len(view):
                wrong.append((view.revision, least, last, always - found))
            last = view.revision

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        with guard:
            catalog.add(range(30, 60), POOL[30:])
        with guard:
            catalog.kill(range(10 + turn % 20, 60, 2))
        if turn % 4 == 0:
            publish_to(catalog, tmp_path)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    check(reader.view(wait=True), catalog)
