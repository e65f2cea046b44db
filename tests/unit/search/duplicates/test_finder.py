"""From a catalog to groups: every relation typed, verdicts kept, references left alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.imaging.perceptual import perceptual_hash
from likeness.types import ImageFacts, RgbImage
from search.duplicates.calibrate import Calibration, tail_threshold
from search.duplicates.edits import EDITS, edit_named
from search.duplicates.finder import DuplicateFinder, DuplicateRequest, Side
from search.duplicates.keep import parse_keep
from search.duplicates.relations import Relation, Thresholds
from search.duplicates.report import DuplicateReport
from tests.fakes.encoder import FakeEncoder
from tests.fakes.scenes import FakeLoader, draw_scene

ENCODER = FakeEncoder()
MIRROR = edit_named("mirror")


class Shelf:
    """A collection of pictures in memory, embedded and stored as indexing would."""

    def __init__(self, catalog: Catalog, folder: Path, name: str = "default") -> None:
        self.catalog, self.folder = catalog, folder
        self.collection = catalog.create_collection(name)
        self.space: Space = catalog.ensure_space(
            self.collection.id,
            encoder=ENCODER.spec.name,
            fingerprint=ENCODER.fingerprint,
            dim=ENCODER.spec.dim,
            towers=ENCODER.spec.towers,
        )
        self.loader = FakeLoader({})
        self.ids: dict[str, int] = {}

    def put(self, path: str, pixels: RgbImage, data: bytes | None = None) -> None:
        uri = f"file://{path}"
        data = data if data is not None else path.encode()
        bits, quality = perceptual_hash(pixels)
        height, width = pixels.shape[:2]
        facts = ImageFacts(
            width, height, "png", perceptual_hash=bits, perceptual_hash_quality=quality
        )
        source = SourceFacts(uri, path, hashlib.sha256(data).hexdigest(), 1000, 10**18)
        vector = ENCODER.embed([pixels]).astype(np.float16)
        batch = Batch([Stored(source, facts, 0)], {self.space.id: vector})
        self.ids[path] = self.catalog.commit_batch(self.collection.id, batch).stored[0]
        self.loader.pictures[uri] = pixels

    def find(self, against: Shelf | None = None, **options: object) -> DuplicateReport:
        loader = self.loader
        if against is not None:
            loader = FakeLoader({**self.loader.pictures, **against.loader.pictures})
        finder = DuplicateFinder(
            self.catalog,
            Side(self.space, self.folder / str(self.space.id)),
            loader,
            lambda: ENCODER,
        )
        other = None
        if against is not None:
            other = Side(against.space, self.folder / str(against.space.id))
        return finder.find(DuplicateRequest(**options), other)  # type: ignore[arg-type]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as catalog:
        shelf = Shelf(catalog, tmp_path)
        for seed in range(5):
            shelf.put(f"/p/other{seed}.png", draw_scene(100 + seed))
        # The thresholds are those of a calibration; learning them has a test of its own.
        calibration = Calibration(Thresholds(far_cosine=-1.0), 0.001, 20, 20, 0.4)
        DuplicateRecords(catalog).save_calibration(shelf.space.id, 20, calibration.to_json())
        yield shelf


def paths_of(report: DuplicateReport) -> list[list[tuple[str, str]]]:
    return [
        [
            (member.image.path, member.relation.value if member.relation else "")
            for member in group.members
        ]
        for group in report.groups
    ]


def jpeg(pixels: RgbImage, quality: int) -> RgbImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_relations_are_typed_from_certain_to_loose(shelf: Shelf) -> None:
    original = draw_scene(1)
    shelf.put("/p/a.png", original, b"bytes")
    shelf.put("/p/b.png", original, b"bytes")
    shelf.put("/p/c.jpg", jpeg(original, 97), b"other bytes")
    shelf.put("/p/d.png", edit_named("crop-80")(original, np.random.default_rng(0)), b"crop")
    shelf.put("/p/e.png", edit_named("mirror")(original, np.random.default_rng(0)), b"mirror")
    report = shelf.find()
    assert len(report.groups) == 1
    found = dict(paths_of(report)[0])
    assert found == {
        "/p/a.png": "",
        "/p/b.png": "same-bytes",
        "/p/c.jpg": "same-pixels",
        "/p/d.png": "edited-copy",
        "/p/e.png": "edited-copy",
    }
    assert report.groups[0].certainty is Relation.EDITED_COPY
    crop = next(m for m in report.groups[0].members if m.image.path == "/p/d.png")
    assert crop.evidence is not None
    assert 0.5 < crop.evidence.area < 0.8


def test_runs_agree(shelf: Shelf) -> None:
    for number in range(3):
        scene = draw_scene(number)
        shelf.put(f"/p/{number}.png", scene)
        shelf.put(f"/p/{number}-small.png", edit_named("half-size")(scene, np.random.default_rng()))
    first = paths_of(shelf.find())
    assert len(first) == 3
    assert all(group[0][0].endswith(f"{n}.png") for n, group in enumerate(first))
    assert paths_of(shelf.find()) == first


def test_what_is_said_to_be_no_duplicate_is_never_shown_again(shelf: Shelf) -> None:
    scene = draw_scene(1)
    shelf.put("/p/a.png", scene)
    shelf.put("/p/b.png", edit_named("frame")(scene, np.random.default_rng(0)))
    report = shelf.find()
    assert len(report.groups) == 1
    hashes = [member.image.sha256 for member in report.groups[0].members]
    DuplicateRecords(shelf.catalog).not_duplicates([(hashes[0], hashes[1])])
    assert shelf.find().groups == ()


def test_a_reference_folder_leads_its_groups_and_is_never_removable(shelf: Shelf) -> None:
    scene = draw_scene(1, (200, 150))
    shelf.put("/p/large.png", edit_named("double-size")(scene, np.random.default_rng(0)))
    shelf.put("/master/small.png", scene)
    shelf.put("/master/again.png", scene)
    report = shelf.find(reference=["/master"])
    group = report.groups[0]
    assert group.members[0].image.path.startswith("/master/")
    assert [member.image.path for member in group.removable] == ["/p/large.png"]


def test_a_rule_decides_which_one_is_kept(shelf: Shelf) -> None:
    scene = draw_scene(1)
    shelf.put("/p/2019/a.png", scene)
    shelf.put("/p/2020/b.png", edit_named("double-size")(scene, np.random.default_rng(0)))
    assert paths_of(shelf.find())[0][0][0] == "/p/2020/b.png"
    assert paths_of(shelf.find(keep=parse_keep("path:*/2019/*")))[0][0][0] == "/p/2019/a.png"


def test_copies_across_collections_are_found_and_only_those(shelf: Shelf) -> None:
    scene, twice = draw_scene(1), draw_scene(2)
    shelf.put("/p/a.png", edit_named("rotate-5")(scene, np.random.default_rng(0)))
    shelf.put("/p/twice1.png", twice)
    shelf.put("/p/twice2.png", edit_named("half-size")(twice, np.random.default_rng(0)))
    other = Shelf(shelf.catalog, shelf.folder, "archive")
    other.put("/archive/a.png", scene)
    report = shelf.find(other)
    assert paths_of(report) == [[("/archive/a.png", ""), ("/p/a.png", "edited-copy")]]
    assert [member.image.path for member in report.groups[0].removable] == ["/p/a.png"]


def test_only_some_images_are_looked_at_when_asked(shelf: Shelf) -> None:
    scene = draw_scene(1)
    for name in ("a", "b", "c"):
        shelf.put(f"/p/{name}.png", scene)
    only = np.array([shelf.ids["/p/a.png"], shelf.ids["/p/c.png"]])
    assert {path for path, _ in paths_of(shelf.find(only=only))[0]} == {"/p/a.png", "/p/c.png"}


def test_an_unreadable_picture_is_listed_and_known_by_its_hash(shelf: Shelf) -> None:
    scene = draw_scene(1)
    shelf.put("/p/a.png", scene)
    shelf.put("/p/b.png", jpeg(scene, 60))
    del shelf.loader.pictures["file:///p/b.png"]
    report = shelf.find()
    assert [row.path for row in report.unreadable] == ["/p/b.png"]
    assert paths_of(report)[0][1][1] == "edited-copy"


def test_thresholds_are_learnt_from_the_library_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.duplicates.finder.CALIBRATION_EDITS", (*EDITS[:2], MIRROR))
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as catalog:
        shelf = Shelf(catalog, tmp_path)
        for seed in range(6):
            shelf.put(f"/p/{seed}.png", draw_scene(seed))
        shelf.put("/p/copy.png", edit_named("text")(draw_scene(3), np.random.default_rng(0)))
        report = shelf.find()
        assert [len(group) for group in paths_of(report)] == [2]
        calibration = report.calibration
        assert calibration is not None
        assert 0.5 <= calibration.thresholds.copy_score <= 0.9
        recalls = {recall.edit: recall for recall in calibration.recalls}
        assert recalls["jpeg-q50"].found == 1.0
        assert recalls["mirror"].copies == 7
        embedded = ENCODER.prepared
        assert shelf.find().calibration == calibration
        assert ENCODER.prepared == embedded
        assert calibration.is_stale(11, 0.001)
        assert not calibration.is_stale(10, 0.001)
        assert calibration.is_stale(7, 0.01)


def test_the_threshold_lies_where_the_tail_is_as_rare_as_asked() -> None:
    random = np.random.default_rng(0)
    values = random.exponential(0.05, 400) * (random.random(400) < 0.5)
    found = tail_threshold(values.tolist(), 0.001, default=0.0)
    true = 0.05 * np.log(0.5 / 0.001)
    assert found == pytest.approx(true, rel=0.35)
    assert tail_threshold([], 0.001, default=0.6) == 0.6
    assert tail_threshold([0.0] * 50, 0.001, default=0.6) == 0.6
