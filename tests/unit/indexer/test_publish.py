"""When a new index is due, and what publishing leaves on the disk and in the catalog."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from indexer.publish import Published, is_due, needs_publish, publish
from likeness.catalog import Catalog
from likeness.catalog.records import SnapshotState
from likeness.errors import SnapshotDamaged, SnapshotNotWritten
from likeness.vectors import snapshot
from likeness.vectors.snapshot import open_snapshot
from tests.fakes.catalog import FakeSpaceCatalog
from tests.fakes.vectors import unit_vectors

POOL = unit_vectors(3000, 6, 0)


@pytest.fixture
def catalog() -> FakeSpaceCatalog:
    fake = FakeSpaceCatalog(6)
    fake.add(range(100), POOL[:100])
    return fake


def run(catalog: FakeSpaceCatalog, folder: Path) -> Published:
    return publish(cast(Catalog, catalog), catalog.space, folder)


def due(catalog: FakeSpaceCatalog, folder: Path, *, others_publish: bool = False) -> bool:
    return needs_publish(
        cast(Catalog, catalog), catalog.space, folder, others_publish=others_publish
    )


def on_disk(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("indexed", "tail_rows", "dead_rows", "expected"),
    [
        (10, 5, 0, False),
        (10, 1001, 0, True),
        (100, 0, 1000, False),
        (15_000, 1_501, 0, True),
        (15_000, 1_500, 0, False),
        (1_000_000, 20_001, 0, True),
        (1_000_000, 20_000, 100_000, False),
        (1_000_000, 0, 100_001, True),
    ],
)
def test_when_a_new_index_is_due(
    indexed: int, tail_rows: int, dead_rows: int, expected: bool
) -> None:
    assert is_due(indexed, tail_rows, dead_rows) is expected


def test_an_index_is_needed_when_there_is_none_or_too_much_changed(
    catalog: FakeSpaceCatalog, tmp_path: Path
) -> None:
    assert not due(FakeSpaceCatalog(6), tmp_path)  # nothing to index
    assert due(catalog, tmp_path)
    done = run(catalog, tmp_path)
    assert not due(catalog, tmp_path)
    catalog.add(range(100, 1100), POOL[100:1100])
    assert not due(catalog, tmp_path)
    catalog.add([1100], POOL[1100:1101])
    assert due(catalog, tmp_path)
    run(catalog, tmp_path)
    assert not due(catalog, tmp_path)
    for name in on_disk(tmp_path):
        if name != done.name:
            (tmp_path / name).rename(tmp_path / "elsewhere")
    assert due(catalog, tmp_path)
    assert not due(catalog, tmp_path, others_publish=True)  # it may be another machine's
    catalog.add(range(1101, 2500), POOL[1101:2500])
    assert due(catalog, tmp_path, others_publish=True)


def test_the_published_index_holds_what_was_committed(
    catalog: FakeSpaceCatalog, tmp_path: Path
) -> None:
    catalog.kill([3])
    done = run(catalog, tmp_path)
    assert done == Published(done.name, ours=True, count=99, revision=2)
    opened = open_snapshot(tmp_path / done.name)
    assert opened.index.ids.tolist() == catalog.ready_ids.tolist()
    (row,) = catalog.rows
    assert row.manifest == opened.manifest.as_dict()
    assert (row.state, row.revision) == (SnapshotState.CURRENT, 2)


def test_the_last_two_are_kept_and_rubbish_is_swept(
    catalog: FakeSpaceCatalog, tmp_path: Path
) -> None:
    (tmp_path / ".partial-r0000000001-01234567-aa").mkdir()
    (tmp_path / "r0000000001-0123abcd").mkdir()  # whole, but a killed publisher's
    (tmp_path / "notes").mkdir()  # not ours
    names = [run(catalog, tmp_path).name for _ in range(4)]
    assert on_disk(tmp_path) == sorted(["notes", *names[2:]])
    assert [(row.name, row.state) for row in catalog.rows] == [
        (names[2], SnapshotState.PREVIOUS),
        (names[3], SnapshotState.CURRENT),
    ]


def test_one_that_was_set_aside_is_reported_until_there_is_another(
    catalog: FakeSpaceCatalog, tmp_path: Path
) -> None:
    first, second = run(catalog, tmp_path).name, run(catalog, tmp_path).name
    catalog.set_aside(1, second, "a bit is wrong")
    assert due(catalog, tmp_path)
    third = run(catalog, tmp_path).name
    assert on_disk(tmp_path) == sorted([first, third])
    assert [row.name for row in catalog.rows] == [first, third]


def test_whoever_publishes_first_wins(catalog: FakeSpaceCatalog, tmp_path: Path) -> None:
    run(catalog, tmp_path)
    compare_and_set = catalog.publish_snapshot

    def beaten(space_id: int, **options: Any) -> bool:
        catalog.publish_snapshot = compare_and_set  # type: ignore[method-assign]
        compare_and_set(space_id, **(options | {"name": "r0000000001-000000aa"}))
        return compare_and_set(space_id, **options)

    catalog.publish_snapshot = beaten  # type: ignore[method-assign]
    done = run(catalog, tmp_path)
    assert (done.name, done.ours) == ("r0000000001-000000aa", False)
    assert len(on_disk(tmp_path)) == 1  # ours was removed


def test_publishers_on_one_machine_take_turns(catalog: FakeSpaceCatalog, tmp_path: Path) -> None:
    done: list[Published] = []
    threads = [
        threading.Thread(target=lambda: done.append(run(catalog, tmp_path))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.ours for one in done] == [True] * 5
    assert len(on_disk(tmp_path)) == 2


def test_a_full_disk_leaves_the_old_index_current(
    catalog: FakeSpaceCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = run(catalog, tmp_path).name
    write = os.write

    def full(fd: int, data: Any) -> int:
        if len(data) > 500:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SnapshotNotWritten, match="No space left"):
        run(catalog, tmp_path)
    monkeypatch.undo()
    assert [(row.name, row.state) for row in catalog.rows] == [(old, SnapshotState.CURRENT)]
    assert on_disk(tmp_path) == [old]
    assert open_snapshot(tmp_path / old).manifest.count == 100


def test_what_reads_back_differently_is_not_published(
    catalog: FakeSpaceCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lying_disk(path: Path) -> None:
        victim = path / "vectors.f16"
        victim.chmod(0o644)
        data = bytearray(victim.read_bytes())
        data[77] ^= 1
        victim.write_bytes(data)

    whole = snapshot.open_snapshot

    def opened(path: Path, **options: str) -> snapshot.Snapshot:
        lying_disk(path)
        return whole(path, server=options["server"])

    monkeypatch.setattr(snapshot, "open_snapshot", opened)
    with pytest.raises(SnapshotDamaged):
        run(catalog, tmp_path)
    assert (catalog.rows, on_disk(tmp_path)) == ([], [])


def test_an_empty_space_can_be_published(tmp_path: Path) -> None:
    empty = FakeSpaceCatalog(6)
    assert run(empty, tmp_path).count == 0
    assert len(open_snapshot(tmp_path / on_disk(tmp_path)[0]).index) == 0
