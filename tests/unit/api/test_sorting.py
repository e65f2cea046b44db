"""Pieces of sorting by themselves: stored reports, groups led by another image, packed maps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.sorting.mapping import MapClusters, packed, varints
from api.sorting.reports import Copy, CopyGroup, StoredReport, led_by, load_report, save_report
from likeness.catalog.sorting.clusters import Members
from likeness.catalog.sorting.points import PointFacts
from search.clusters.map import CollectionMap
from search.duplicates.geometry import Evidence
from search.duplicates.relations import Relation

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


def proof(transform: Matrix, *, mirrored: bool = False, score: float = 0.9) -> Evidence:
    return Evidence(score, score, 1.0, 1.0, transform, mirrored, 20)


def copy(image_id: int, relation: Relation | None, evidence: Evidence | None = None) -> Copy:
    score = None if relation is None else 0.9
    return Copy(
        image_id, "default", f"{image_id:064x}", 10, relation, score, score, 3, False, evidence
    )


HALF: Matrix = ((2.0, 0.0, -0.5), (0.0, 2.0, -0.5))
"""The second is the middle of the first, cut out."""
FLIPPED: Matrix = ((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0))


def group() -> tuple[Copy, ...]:
    return (
        copy(5, None),
        copy(3, Relation.SAME_BYTES),
        copy(9, Relation.EDITED_COPY, proof(HALF, score=0.8)),
        copy(7, Relation.EDITED_COPY, proof(FLIPPED, mirrored=True)),
    )


def test_a_report_is_read_as_it_was_saved(tmp_path: Path) -> None:
    report = StoredReport(
        datetime.now(UTC), 7, {"keep": "best"}, 10, 5, 4, 1, (CopyGroup(3, group()),)
    )
    path = tmp_path / "index" / "duplicates.json"
    assert load_report(path) is None
    save_report(report, path)
    assert load_report(path) == report
    assert [each.name for each in path.parent.iterdir()] == ["duplicates.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other/1"}'])
def test_a_damaged_report_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "duplicates.json"
    path.write_text(text)
    assert load_report(path) is None


def test_a_group_led_by_another_image_is_told_from_that_one() -> None:
    copies = group()
    turned = led_by(copies, copies[2])
    assert [each.image_id for each in turned] == [9, 5, 3, 7]
    assert [each.relation for each in turned] == [None, *[Relation.EDITED_COPY] * 3]
    assert turned[0].evidence is None
    whole, twin, flipped = (each.evidence for each in turned[1:])
    assert whole is not None
    assert twin is not None
    assert flipped is not None
    assert np.allclose(whole.transform, [[0.5, 0, 0.25], [0, 0.5, 0.25]])
    assert whole == twin, "a twin lies where the first does"
    # All of the cut-out lies on the flipped one, a quarter of that lies on the cut-out.
    assert flipped.mirrored
    assert (flipped.area, flipped.other_area) == (1.0, pytest.approx(0.25, abs=0.03))
    assert np.allclose(flipped.transform, [[-0.5, 0, 0.75], [0, 0.5, 0.25]])
    assert flipped.score == 0.8
    assert led_by(copies, copies[0]) == copies


@given(st.lists(st.integers(0, 2**62), max_size=50))
def test_varints_are_read_back(values: list[int]) -> None:
    data = varints(np.array(values, dtype=np.int64))
    read, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            read.append(value)
            value, shift = 0, 0
    assert read == values
    assert shift == 0


def points(n: int, folders: int = 3) -> tuple[CollectionMap, PointFacts]:
    random = np.random.default_rng(0)
    ids = np.cumsum(random.integers(1, 4, n)).astype(np.int64)
    places = random.uniform(-1, 1, (n, 2)).astype(np.float32)
    taken = random.integers(10**9, 2 * 10**9, n)
    taken[::5] = -1
    of = random.integers(0, folders, n).astype(np.int32)
    names = tuple(f"/photos/{number // 10}/{number}" for number in range(folders))
    return CollectionMap(ids, places, n, "f"), PointFacts(ids, taken, of, names)


def header_of(data: bytes) -> dict:
    length = int.from_bytes(data[8:12], "little")
    return dict(json.loads(data[12 : 12 + length]))


def column(data: bytes, name: str) -> list[int]:
    header = header_of(data)
    start = 12 + int.from_bytes(data[8:12], "little")
    row = next(each for each in header["columns"] if each["name"] == name)
    part = data[start + row["offset"] : start + row["offset"] + row["bytes"]]
    return list(np.frombuffer(part, "<u2").tolist())


def test_a_hundred_thousand_points_travel_in_about_a_megabyte() -> None:
    made, facts = points(100_000, 400)
    members = Members(
        made.image_ids, np.arange(100_000, dtype=np.int32) % 300, np.ones(100_000, np.float32)
    )
    clusters = MapClusters(1, "run", {n: f"cluster {n}" for n in range(300)}, members)
    data = packed(made, facts, clusters)
    assert len(data) < 1_150_000
    assert header_of(data)["count"] == 100_000


def test_places_and_times_are_as_they_were_to_one_part_in_65535() -> None:
    made, facts = points(500)
    data = packed(made, facts, None)
    header = header_of(data)
    left, top, right, bottom = header["bounds"]
    x = left + np.array(column(data, "x")) / 65535 * (right - left)
    y = top + np.array(column(data, "y")) / 65535 * (bottom - top)
    assert np.abs(x - made.places[:, 0]).max() < 2e-5
    assert np.abs(y - made.places[:, 1]).max() < 2e-5
    first, last = (datetime.fromisoformat(each) for each in header["times"])
    taken = np.array(column(data, "time"))
    assert ((taken == 0) == (facts.taken_s < 0)).all()
    span = (last - first).total_seconds()
    known = taken > 0
    found = first.replace(tzinfo=UTC).timestamp() + (taken[known] - 1) / 65534 * span
    assert np.abs(found - facts.taken_s[known]).max() <= span / 65534 + 1


def test_images_that_are_not_ready_or_not_placed_are_not_sent() -> None:
    made, facts = points(50)
    fewer = PointFacts(facts.image_ids[10:], facts.taken_s[10:], facts.folders[10:], facts.names)
    unplaced = CollectionMap(made.image_ids[:30], made.places[:30], 30, "f")
    data = packed(unplaced, fewer, None)
    assert header_of(data)["count"] == 20
    assert len(column(data, "x")) == 20
    none = packed(unplaced, PointFacts(*(each[:0] for each in (
        facts.image_ids, facts.taken_s, facts.folders)), ()), None)  # fmt: skip
    assert header_of(none)["count"] == 0


def test_very_many_folders_are_told_by_their_parents() -> None:
    made, facts = points(5000, 3000)
    header = header_of(packed(made, facts, None))
    assert header["folders"] == sorted({f"/photos/{n // 10}" for n in range(3000)})
