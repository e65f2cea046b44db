"""A snapshot is whole and verified, or it is not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from likeness.errors import (
    SnapshotDamaged,
    SnapshotError,
    SnapshotMissing,
    SnapshotNotWritten,
    VectorError,
)
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.files import DurableFile, VerifiedFile
from likeness.vectors.halfscan import Selection
from likeness.vectors.manifest import MANIFEST_NAME, Manifest
from likeness.vectors.snapshot import (
    IDS_NAME,
    VECTORS_NAME,
    Snapshot,
    discard,
    open_snapshot,
    partial_leftovers,
    try_canaries,
    write_snapshot,
)
from tests.fakes.vectors import unit_vectors

DIM = 16
ROWS = unit_vectors(500, DIM, 0)
IDS = np.arange(10, 510)


def write(target: Path, ids: ImageIds = IDS, rows: StoredVectors = ROWS) -> Manifest:
    batches = [(ids[:100], rows[:100]), (ids[100:], rows[100:])]
    return write_snapshot(target, batches, fingerprint="ab", dim=DIM, revision=7, digest="cd")


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    manifest = write(tmp_path / "new" / "one")
    opened = open_snapshot(tmp_path / "new" / "one")
    assert (
        opened.manifest
        == manifest
        == Manifest.from_dict(json.loads(json.dumps(manifest.as_dict())))
    )
    assert (manifest.count, manifest.revision, manifest.fingerprint) == (500, 7, "ab")
    assert opened.index.ids.tolist() == IDS.tolist()
    assert (opened.index.vectors(IDS)[1] == ROWS).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one"]


def test_vectors_stand_on_disk_once(tmp_path: Path) -> None:
    write(tmp_path / "one")
    held = {path.name: path.stat().st_size for path in (tmp_path / "one").iterdir()}
    assert held.pop(MANIFEST_NAME) < 2000
    assert held == {IDS_NAME: 8 * 500, VECTORS_NAME: 2 * 500 * DIM}


def test_an_absent_folder_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissing):
        open_snapshot(tmp_path / "never")


def test_ids_that_do_not_ascend_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(VectorError, match="ascend"):
        write(tmp_path / "one", np.concatenate([IDS[100:], IDS[:100]]))
    assert list(tmp_path.iterdir()) == []


def test_a_bad_vector_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[300, 3] = np.nan
    with pytest.raises(VectorError, match="image 310"):
        write(tmp_path / "one", rows=rows)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_source_of_vectors_leaves_nothing(tmp_path: Path) -> None:
    def batches():
        yield IDS[:10], ROWS[:10]
        raise RuntimeError("the catalog went away")

    with pytest.raises(RuntimeError, match="went away"):
        write_snapshot(
            tmp_path / "one", batches(), fingerprint="f", dim=DIM, revision=1, digest="d"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "one")
    with pytest.raises(SnapshotNotWritten, match="already"):
        write(tmp_path / "one", IDS[:200], ROWS[:200])
    assert open_snapshot(tmp_path / "one").manifest.count == 500
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_snapshot_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "one")
    values = open_snapshot(tmp_path / "one").manifest.as_dict() | {"format": 99}
    (tmp_path / "one" / MANIFEST_NAME).unlink()
    with DurableFile(tmp_path / "one" / MANIFEST_NAME) as file:
        file.write(Manifest.from_dict(values).encode())
        file.finish()
    with pytest.raises(SnapshotError, match="format 99") as caught:
        open_snapshot(tmp_path / "one")
    assert not isinstance(caught.value, SnapshotDamaged)


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="kinds: auto, exact"):
        write_snapshot(
            tmp_path / "one", [], fingerprint="f", dim=8, revision=1, digest="d", kind="magic"
        )


def test_canaries_notice_an_index_that_answers_wrongly(tmp_path: Path) -> None:
    write(tmp_path / "one")
    good = open_snapshot(tmp_path / "one")
    try_canaries(good)
    shifted = type(good.index)(np.roll(IDS, 1), ROWS)  # every answer is the neighbour's
    shifted.vectors = good.index.vectors  # type: ignore[method-assign]
    with pytest.raises(SnapshotDamaged, match="did not find itself"):
        try_canaries(Snapshot(good.path, good.manifest, shifted, good.opened))


def test_canaries_do_not_mind_a_few_that_an_approximate_index_misses(tmp_path: Path) -> None:
    """At a million images one that is as good as it should be may miss one of the canaries."""

    class Missing:
        """Proposes the best rows but for some."""

        cells = 1
        most: int | None = None
        most_listed: int | None = None

        def __init__(self, rows: np.ndarray) -> None:
            self._rows = rows

        def candidates(
            self, queries: np.ndarray, n: int, selection: Selection, reach: float, *, gather: bool
        ) -> np.ndarray:
            scores = queries @ ROWS.astype(np.float32).T
            scores[:, self._rows] = -2
            return np.argsort(-scores, axis=1)[:, :n]

    write(tmp_path / "one")
    good = open_snapshot(tmp_path / "one")
    canaries = np.unique(np.linspace(0, len(IDS) - 1, 32, dtype=np.int64))
    knobs = Knobs(least=50, direct=0)
    few = CandidateIndex(IDS, ROWS, Missing(canaries[:8]), knobs)  # type: ignore[arg-type]
    try_canaries(Snapshot(good.path, good.manifest, few, good.opened))
    many = CandidateIndex(IDS, ROWS, Missing(canaries[:9]), knobs)  # type: ignore[arg-type]
    with pytest.raises(SnapshotDamaged, match=r"did not find itself \(nor did 8 more of 32\)"):
        try_canaries(Snapshot(good.path, good.manifest, many, good.opened))


def test_canaries_accept_copies_and_few_images(tmp_path: Path) -> None:
    write(tmp_path / "copies", rows=np.repeat(ROWS[:1], 500, axis=0))
    write(tmp_path / "one", IDS[:1], ROWS[:1])
    write(tmp_path / "none", IDS[:0], ROWS[:0])
    assert len(open_snapshot(tmp_path / "none").index) == 0


def test_a_mapped_snapshot_notices_that_somebody_wrote_to_it(tmp_path: Path) -> None:
    write(tmp_path / "one")
    mapped = open_snapshot(tmp_path / "one", in_memory_bytes=0)
    assert mapped.intact()
    victim = tmp_path / "one" / VECTORS_NAME
    victim.chmod(0o644)
    with victim.open("r+b") as file:
        file.write(b"\xff\xff")
    os.utime(victim, ns=(1, 1))
    assert not mapped.intact()


def test_a_snapshot_in_memory_does_not_mind_damage_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path / "one")
    loaded = open_snapshot(tmp_path / "one")
    victim = tmp_path / "one" / VECTORS_NAME
    victim.chmod(0o644)
    os.truncate(victim, 0)
    assert loaded.intact()
    assert (loaded.index.vectors(IDS)[1] == ROWS).all()


def test_an_opened_snapshot_outlives_its_files(tmp_path: Path) -> None:
    write(tmp_path / "one")
    mapped = open_snapshot(tmp_path / "one", in_memory_bytes=0)
    discard(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []
    assert mapped.intact()
    assert (mapped.index.vectors(IDS)[1] == ROWS).all()


def test_leftovers_are_found_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "one")
    (tmp_path / ".partial-two-1234").mkdir()
    assert [path.name for path in partial_leftovers(tmp_path)] == [".partial-two-1234"]
    assert partial_leftovers(tmp_path / "nowhere") == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, bytes(data[:7])))
    with DurableFile(tmp_path / "file") as file:
        file.write(np.arange(100))
        file.write(b"end")
        facts = file.finish()
    monkeypatch.undo()
    data = VerifiedFile(tmp_path / "file", facts, in_memory=True).data
    assert data.tobytes() == np.arange(100).tobytes() + b"end"


def test_a_folder_in_place_of_a_file_is_damage(tmp_path: Path) -> None:
    write(tmp_path / "one")
    (tmp_path / "one" / IDS_NAME).unlink()
    (tmp_path / "one" / IDS_NAME).mkdir()
    with pytest.raises(SnapshotDamaged, match="not a regular file"):
        open_snapshot(tmp_path / "one")
