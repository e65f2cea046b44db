"""Indexing runs over real files, decoders and databases; only the encoder is a fake."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from indexer.progress import Counts, IndexReport, Progress
from indexer.service import Indexer, IndexRequest
from likeness.catalog.records import ImageRow
from likeness.errors import InputError, SourceError
from likeness.settings import load_settings
from likeness.types import ImageState
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import draw_picture, write_pictures
from tests.fakes.runtime import FakeRuntime


@dataclass
class Desk:
    """A home with a fake encoder, and short words for what the tests do."""

    runtime: FakeRuntime
    encoder: FakeEncoder

    def index(self, *sources: Path, **options: object) -> IndexReport:
        request = IndexRequest(
            "default",
            sources=[str(source) for source in sources],
            **options,  # type: ignore[arg-type]
        )
        return Indexer(self.runtime).index(request, Progress(), threading.Event())

    @property
    def collection_id(self) -> int:
        return self.runtime.catalog.collection("default").id

    def rows(self, state: ImageState | None = ImageState.READY) -> dict[str, ImageRow]:
        rows = self.runtime.catalog.list_images(self.collection_id, state=state, limit=10_000)
        return {Path(row.path).name: row for row in rows}

    def vector(self, row: ImageRow) -> np.ndarray:
        space = self.runtime.catalog.spaces(self.collection_id)[0]
        ids, vectors = self.runtime.catalog.vectors(space.id, [row.id])
        assert ids.tolist() == [row.id]
        return vectors[0]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    settings = load_settings(
        home=tmp_path / "home", database_url=url, decode_workers=1, commit_rows=5
    )
    encoder = FakeEncoder(batch_size=4)
    second = FakeEncoder("fake:second", seed=1)
    with FakeRuntime(settings, encoder, second) as runtime:
        yield Desk(runtime, encoder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_pictures(folder, 12)
    return folder


def settled(counts: Counts) -> dict[str, int]:
    """The counts that are not zero, without `scanned`."""
    fields = {name: getattr(counts, name) for name in Counts.__dataclass_fields__}
    return {name: n for name, n in fields.items() if n and name != "scanned"}


def test_a_folder_is_embedded_once_and_a_second_run_keeps_everything(
    desk: Desk, photos: Path
) -> None:
    first = desk.index(photos)
    assert settled(first.counts) == {"stored": 12}
    assert first.complete
    assert desk.encoder.prepared == 12
    second = desk.index(photos)
    assert settled(second.counts) == {"kept": 12}
    assert desk.encoder.prepared == 12


def test_stored_vectors_are_those_of_the_encoder(desk: Desk, photos: Path) -> None:
    from likeness.imaging.decode import decode

    desk.index(photos)
    for row in desk.rows().values():
        pixels = decode(Path(row.path).read_bytes(), row.path).pixels
        assert desk.vector(row) @ desk.encoder.embed([pixels])[0] > 0.999


def test_a_moved_file_keeps_its_id_and_tags_and_is_not_embedded_again(
    desk: Desk, photos: Path
) -> None:
    desk.index(photos)
    before = desk.rows()["picture000.jpg"]
    desk.runtime.catalog.add_tags(desk.collection_id, [before.id], ["best"])
    (photos / "picture000.jpg").rename(photos / "more" / "renamed.jpg")
    report = desk.index(photos)
    assert settled(report.counts) == {"kept": 11, "moved": 1}
    after = desk.rows()["renamed.jpg"]
    assert (after.id, after.tags) == (before.id, {"best"})
    assert "picture000.jpg" not in desk.rows()
    assert desk.encoder.prepared == 12


def test_a_renamed_folder_is_recognised_whole(desk: Desk, photos: Path, tmp_path: Path) -> None:
    desk.index(photos)
    ids = {row.id for row in desk.rows().values()}
    photos.rename(tmp_path / "pictures")
    report = desk.index(tmp_path / "pictures")
    assert settled(report.counts) == {"moved": 12}
    assert {row.id for row in desk.rows().values()} == ids


def test_a_changed_file_is_embedded_again_and_the_old_row_is_gone(desk: Desk, photos: Path) -> None:
    desk.index(photos)
    before = desk.rows()["picture001.png"]
    draw_picture(99).save(photos / "picture001.png")
    report = desk.index(photos)
    assert settled(report.counts) == {"kept": 11, "stored": 1}
    after = desk.rows()["picture001.png"]
    assert after.id != before.id
    assert len(desk.rows()) == 12
    assert before.id in {row.id for row in desk.rows(ImageState.GONE).values()}


def test_a_touched_file_is_read_but_not_embedded(desk: Desk, photos: Path) -> None:
    desk.index(photos)
    before = desk.rows()["picture001.png"]
    os.utime(photos / "picture001.png", ns=(1, 1_000_000_000))
    report = desk.index(photos)
    assert settled(report.counts) == {"kept": 12}
    assert desk.encoder.prepared == 12
    after = desk.rows()["picture001.png"]
    assert (after.id, after.mtime_ns) == (before.id, 1_000_000_000)


def test_a_vanished_file_is_gone_and_comes_back_without_embedding(
    desk: Desk, photos: Path, tmp_path: Path
) -> None:
    desk.index(photos)
    before = desk.rows()["picture002.webp"]
    shutil.move(photos / "picture002.webp", tmp_path / "aside.webp")
    assert settled(desk.index(photos).counts) == {"kept": 11, "gone": 1}
    assert "picture002.webp" not in desk.rows()
    shutil.move(tmp_path / "aside.webp", photos / "picture002.webp")
    assert settled(desk.index(photos).counts) == {"kept": 11, "moved": 1}
    assert desk.rows()["picture002.webp"].id == before.id
    assert desk.encoder.prepared == 12


def test_same_bytes_are_embedded_once_in_one_run_and_across_runs(desk: Desk, photos: Path) -> None:
    shutil.copy(photos / "picture000.jpg", photos / "copy-a.jpg")
    desk.index(photos)
    assert desk.encoder.prepared == 12
    shutil.copy(photos / "picture000.jpg", photos / "copy-b.jpg")
    report = desk.index(photos)
    assert settled(report.counts) == {"kept": 13, "linked": 1}
    assert desk.encoder.prepared == 12
    rows = desk.rows()
    vectors = [desk.vector(rows[n]) for n in ("picture000.jpg", "copy-a.jpg", "copy-b.jpg")]
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], vectors[2])


def test_a_broken_file_is_listed_with_its_reason_and_does_not_stop_the_run(
    desk: Desk, photos: Path
) -> None:
    whole = (photos / "picture000.jpg").read_bytes()
    (photos / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    report = desk.index(photos)
    assert settled(report.counts) == {"stored": 12, "failed": 1}
    failed = desk.rows(ImageState.FAILED)["broken.jpg"]
    assert failed.reason_code == "corrupt"
    assert "broken.jpg" in (failed.message or "")
    assert [problem.code for problem in report.problems] == ["corrupt"]


def test_a_failed_image_is_tried_again_only_when_it_changed_or_when_asked(
    desk: Desk, photos: Path
) -> None:
    broken = photos / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    desk.index(photos)
    assert settled(desk.index(photos).counts) == {"kept": 13}
    assert settled(desk.index(photos, retry_failed=True).counts)["failed"] == 1
    draw_picture(50).save(broken)
    assert settled(desk.index(photos).counts) == {"kept": 12, "stored": 1}
    assert not desk.rows(ImageState.FAILED)


def test_an_unmounted_disk_loses_nothing(desk: Desk, photos: Path, tmp_path: Path) -> None:
    desk.index(photos)
    photos.rename(tmp_path / "elsewhere")
    photos.mkdir()
    report = desk.index(photos)
    assert len(desk.rows()) == 12
    assert "unmounted" in report.notices[0]
    assert settled(desk.index(photos, prune=True).counts) == {"gone": 12}
    assert not desk.rows()


def test_a_narrower_pattern_takes_nothing_away(desk: Desk, photos: Path) -> None:
    desk.index(photos)
    report = desk.index(photos, include=["*.png"])
    assert report.counts.gone == 0
    assert len(desk.rows()) == 12


def test_a_missing_source_is_refused_before_any_work(desk: Desk, photos: Path) -> None:
    with pytest.raises(SourceError, match="no such"):
        desk.index(photos, photos / "missing")
    assert desk.runtime.catalog.collections() == []


def test_nothing_to_index_is_said(desk: Desk) -> None:
    with pytest.raises(InputError, match="nothing to index"):
        desk.index()


def test_list_columns_are_kept_and_refreshed(desk: Desk, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path,price\nphotos/picture000.jpg,10\nphotos/picture001.png,20\n")
    desk.index(lists=[table])
    assert desk.rows()["picture000.jpg"].fields == {"price": 10.0}
    table.write_text("path,price\nphotos/picture000.jpg,11\nphotos/picture001.png,20\n")
    report = desk.index(lists=[table])
    assert settled(report.counts) == {"kept": 2}
    assert desk.rows()["picture000.jpg"].fields == {"price": 11.0}
    assert desk.encoder.prepared == 2


def test_a_further_encoder_fills_its_space_from_the_stored_images(desk: Desk, photos: Path) -> None:
    desk.index(photos)
    report = Indexer(desk.runtime).add_encoder(
        "default", "fake:second", Progress(), threading.Event()
    )
    assert settled(report.counts) == {"filled": 12}
    first, second = desk.runtime.catalog.spaces(desk.collection_id)
    assert first.fingerprint != second.fingerprint
    ids = [row.id for row in desk.rows().values()]
    assert len(desk.runtime.catalog.vectors(second.id, ids)[0]) == 12
    draw_picture(77).save(photos / "new.png")
    assert settled(desk.index(photos).counts) == {"kept": 12, "stored": 1}
    assert len(desk.runtime.catalog.vectors(second.id, [desk.rows()["new.png"].id])[0]) == 1


def test_another_encoder_for_an_existing_collection_is_refused_with_the_way_to_add_it(
    desk: Desk, photos: Path
) -> None:
    desk.index(photos)
    with pytest.raises(InputError, match="reindex --collection default --encoder fake:second"):
        desk.index(photos, encoder="fake:second")


def test_failures_are_retried_wherever_they_came_from(desk: Desk, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    desk.index(photos)
    stat = (photos / "broken.jpg").stat()
    draw_picture(51).save(photos / "broken.jpg")
    os.utime(photos / "broken.jpg", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    report = Indexer(desk.runtime).retry_failed("default", Progress(), threading.Event())
    assert settled(report.counts) == {"stored": 1}
    assert len(desk.rows()) == 13


def test_stopping_stores_what_was_read_and_the_next_run_completes(desk: Desk, photos: Path) -> None:
    stop = threading.Event()

    class StoppingEncoder(FakeEncoder):
        def embed_prepared(self, batch: np.ndarray) -> np.ndarray:
            stop.set()
            return super().embed_prepared(batch)

    write_pictures(photos, 60)
    request = IndexRequest("default", sources=[str(photos)])
    settings = desk.runtime.settings
    with FakeRuntime(settings, StoppingEncoder(batch_size=1)) as runtime:
        report = Indexer(runtime).index(request, Progress(), stop)
    assert not report.complete
    stored = report.counts.stored
    assert 0 < stored <= 60
    assert settled(desk.index(photos).counts) == {
        "kept": stored,
        **({"stored": 60 - stored} if stored < 60 else {}),
    }
    assert len(desk.rows()) == 60


def test_a_name_too_long_for_the_catalog_is_a_problem_and_not_the_end(
    desk: Desk, photos: Path
) -> None:
    deep = photos
    for _ in range(4):
        deep = deep / ("ü" * 120)  # six bytes each, percent-encoded
        deep.mkdir()
    draw_picture(61).save(deep / "deep.png")
    report = desk.index(photos)
    assert settled(report.counts) == {"stored": 12, "problems": 1}
    assert report.problems[0].code == "name_too_long"
