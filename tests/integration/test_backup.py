"""Backups of a home that is being written to, and what comes back from them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from indexer.backup.making import back_up
from indexer.backup.manifest import MANIFEST_NAME, BackupManifest
from indexer.backup.restoring import check_backup, restore
from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from indexer.uploads import UploadIndexer, UploadStore
from likeness.catalog import Catalog
from likeness.catalog.engine import make_engine, parse_url, reading, writing
from likeness.catalog.schema import Base
from likeness.cli import main as cli_main
from likeness.errors import BackupError, CatalogError, SettingsError
from likeness.settings import SETTINGS_FILE, Settings, load_settings
from search.opening import open_searcher
from search.request import SearchRequest, VectorTerm
from tests.fakes.catalogs import make_space, store
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import draw_picture, write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.services.postgres import PostgresServer


@dataclass
class Place:
    """A home and its database. `other()` is an empty one of the same engine."""

    folder: Path
    server: PostgresServer | None
    databases: list[str]

    def settings(self, name: str, **more: object) -> Settings:
        url = None
        if self.server is not None:
            database = f"backup_{name}_{uuid.uuid4().hex[:8]}"
            self.server.create_database(database)
            self.databases.append(database)
            url = self.server.url(database)
        home = self.folder / name
        options = {"decode_workers": 1, "commit_rows": 5, **more}
        return load_settings(home=home, database_url=url, **options)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    made = Place(tmp_path, server, [])
    yield made
    for database in made.databases:
        made.server.drop_database(database)  # type: ignore[union-attr]


def rows_of(url: str, *, up_to: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, by table; up_to: only what the catalog held at that revision."""
    engine = make_engine(parse_url(url))
    found = {}
    with reading(engine) as connection:
        for table in Base.metadata.sorted_tables:
            if table.name == "snapshots":  # indexes are not part of a backup
                continue
            statement = select(table).order_by(*table.primary_key.columns)
            if up_to is not None and "revision" in table.columns:
                statement = statement.where(table.c.revision <= up_to)
            found[table.name] = [dict(row._mapping) for row in connection.execute(statement)]
    engine.dispose()
    return found


def test_every_row_comes_back_and_ids_go_on(place: Place) -> None:
    here, there = place.settings("here"), place.settings("there")
    with Catalog.open(here.catalog_url) as catalog:
        space = make_space(catalog, catalog.create_collection("kept"))
        ids = store(catalog, space, {f"image {n}": n for n in range(30)}).stored
        catalog.set_tags(space.collection_id, ids[:3], ["beach", "Straße"])
        catalog.mark_gone(space.collection_id, ids[5:7])
        dropped = make_space(catalog, catalog.create_collection("dropped"))
        last = max(store(catalog, dropped, {"last": 99}).stored)
        catalog.drop_collection("dropped")
    back_up(here, place.folder / "backup")
    restore(there, place.folder / "backup")
    assert rows_of(there.catalog_url) == rows_of(here.catalog_url)
    with Catalog.open(there.catalog_url) as catalog:
        new = store(catalog, catalog.spaces(space.collection_id)[0], {"new": 1000}).stored
        assert min(new) > last  # an id that was used once is not given again


def test_a_backup_during_an_index_run_is_of_one_moment(place: Place) -> None:
    here, there = place.settings("here"), place.settings("there")
    photos = place.folder / "photos"
    write_pictures(photos, 120)
    with FakeRuntime(here, FakeEncoder(batch_size=4)) as runtime:
        catalog = runtime.catalog
        collection = catalog.create_collection("default")
        progress = Progress()

        def index() -> None:
            request = IndexRequest("default", sources=[str(photos)])
            Indexer(runtime).index(request, progress, threading.Event())

        run = threading.Thread(target=index)
        run.start()
        while catalog.collection("default").revision < collection.revision + 2:
            time.sleep(0.002)
        back_up(here, place.folder / "backup")
        during = run.is_alive()
        run.join()
    report = restore(there, place.folder / "backup")
    assert during, "the run was over before the backup was: the test shows nothing"
    assert report.moved == 0

    with FakeRuntime(there, FakeEncoder()) as runtime:
        restored = runtime.catalog.collection("default")
        space = runtime.catalog.spaces(restored.id)[0]
        ready = runtime.catalog.filter_ids(restored.id).tolist()
        assert 0 < len(ready) < 120  # some, not all: it was of a moment in between
        held, _ = runtime.catalog.vectors(space.id, ready)
        assert held.tolist() == ready  # no image without its vector
        now, then = rows_of(here.catalog_url, up_to=restored.revision), rows_of(there.catalog_url)
        for table in ("images", "chunks", "embeddings", "spaces", "image_tags"):
            assert then[table] == now[table], table
        assert_search_finds_itself(runtime, ready)
        # The copy is a catalog like any other: the run that was cut short there goes on.
        request = IndexRequest("default", sources=[str(photos)])
        Indexer(runtime).index(request, Progress(), threading.Event())
        assert len(runtime.catalog.filter_ids(restored.id)) == 120


def assert_search_finds_itself(runtime: FakeRuntime, ready: list[int]) -> None:
    """Each image is its own nearest; the answers are those of a scan of all vectors."""
    collection = runtime.catalog.collection("default")
    space = runtime.catalog.spaces(collection.id)[0]
    ids, vectors = runtime.catalog.vectors(space.id, ready)
    wide = vectors.astype(np.float32)
    searcher = open_searcher(runtime)
    try:
        for row in range(0, len(ids), 7):
            answer = searcher.search("default", SearchRequest((VectorTerm(wide[row]),), k=3))
            assert ids[row] in [hit.image.id for hit in answer.hits]
            best = np.sort(wide @ wide[row])[::-1]
            assert [hit.score for hit in answer.hits] == pytest.approx(best[:3].tolist(), abs=2e-3)
    finally:
        searcher.close()


def test_uploads_that_arrive_meanwhile_are_in_it_with_their_rows(place: Place) -> None:
    here, there = place.settings("here"), place.settings("there")
    stop = threading.Event()
    with FakeRuntime(here, FakeEncoder()) as runtime:
        runtime.catalog.create_collection("default")
        store_of, indexer = UploadStore(here.uploads_root), UploadIndexer(runtime)
        begun = threading.Event()

        def send() -> None:
            for seed in range(200):
                path = place.folder / "one.png"
                draw_picture(seed).save(path)
                kept = store_of.keep(path.read_bytes(), f"{seed}.png")
                indexer.add("default", [kept], Progress(), stop)
                begun.set()
                if stop.is_set():
                    return

        sender = threading.Thread(target=send)
        sender.start()
        begun.wait(60)
        back_up(here, place.folder / "backup")
        stop.set()
        sender.join()
    report = restore(there, place.folder / "backup")
    with FakeRuntime(there, FakeEncoder()) as runtime:
        rows = runtime.catalog.list_images(runtime.catalog.collection("default").id)
        assert rows
        assert report.moved == len(rows)
        for row in rows:  # the URIs name the new home, and the files are there
            assert Path(row.path).parent == there.uploads_root
            assert row.uri == Path(row.path).as_uri()
            assert Path(row.path).is_file()


def test_a_damaged_file_is_noticed_before_anything_is_touched(place: Place) -> None:
    here, there = place.settings("here"), place.settings("there")
    (here.home / "uploads").mkdir(parents=True)
    (here.home / "uploads" / "a.png").write_bytes(b"picture")
    with Catalog.open(here.catalog_url) as catalog:
        store(catalog, make_space(catalog, catalog.create_collection("default")), {"a": 1})
    report = back_up(here, place.folder / "backup")
    names = list(report.manifest.files)
    assert "home/uploads/a.png" in names
    for name in names:
        path = place.folder / "backup" / name
        sound = path.read_bytes()
        half = len(sound) // 2
        path.write_bytes(sound[:half] + bytes([sound[half] ^ 1]) + sound[half + 1 :])
        with pytest.raises(BackupError, match="not those that were written"):
            restore(there, place.folder / "backup")
        assert not there.home.exists()
        path.write_bytes(sound)
    (place.folder / "backup" / "home/uploads/a.png").unlink()
    with pytest.raises(BackupError, match="cannot be read"):
        check_backup(place.folder / "backup")


def test_a_list_of_files_that_was_changed_is_no_backup(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    Catalog.open(settings.catalog_url).close()
    back_up(settings, tmp_path / "backup")
    listed = tmp_path / "backup" / MANIFEST_NAME
    listed.write_text(listed.read_text().replace("catalog.sqlite3", "../../evil"))
    with pytest.raises(BackupError, match="not those that were written"):
        BackupManifest.read(tmp_path / "backup")
    listed.write_text("[]")
    with pytest.raises(BackupError, match="no list of a backup"):
        BackupManifest.read(tmp_path / "backup")
    with pytest.raises(BackupError, match="no backup here"):
        BackupManifest.read(tmp_path)


def test_what_is_there_is_kept_unless_told(place: Place) -> None:
    here, there = place.settings("here"), place.settings("there")
    for settings, name in ((here, "mine"), (there, "theirs")):
        with Catalog.open(settings.catalog_url) as catalog:
            store(catalog, make_space(catalog, catalog.create_collection(name)), {name: 1})
        settings.home.mkdir(exist_ok=True)
        (settings.home / "note.txt").write_text(name)
    back_up(here, place.folder / "backup")
    before = rows_of(there.catalog_url)
    with pytest.raises(BackupError, match=r"not empty .*--replace"):
        restore(there, place.folder / "backup")
    assert rows_of(there.catalog_url) == before
    assert (there.home / "note.txt").read_text() == "theirs"

    report = restore(there, place.folder / "backup", replace=True)
    assert rows_of(there.catalog_url) == rows_of(here.catalog_url)
    assert (there.home / "note.txt").read_text() == "mine"
    assert report.aside is not None
    assert (report.aside / "note.txt").read_text() == "theirs"


def test_a_database_that_is_not_empty_is_kept_though_the_home_is_new(
    place: Place, tmp_path: Path
) -> None:
    here = place.settings("here")
    with Catalog.open(here.catalog_url) as catalog:
        store(catalog, make_space(catalog, catalog.create_collection("mine")), {"a": 1})
    back_up(here, place.folder / "backup")
    elsewhere = load_settings(home=tmp_path / "new", database_url=here.catalog_url)
    with pytest.raises(CatalogError, match="--replace"):
        restore(elsewhere, place.folder / "backup")
    assert not elsewhere.home.exists()


def test_a_database_in_use_is_not_replaced(place: Place) -> None:
    here, there = place.settings("here"), place.settings("there")
    for settings in (here, there):
        with Catalog.open(settings.catalog_url) as catalog:
            catalog.create_collection("default")
    back_up(here, place.folder / "backup")
    before = rows_of(there.catalog_url)
    with Catalog.open(there.catalog_url) as user:
        user.collections()
        with pytest.raises(CatalogError, match="in use"):
            restore(there, place.folder / "backup", replace=True)
    assert rows_of(there.catalog_url) == before


def test_a_backup_of_a_newer_version_or_another_engine_is_refused(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    Catalog.open(settings.catalog_url).close()
    back_up(settings, tmp_path / "backup")
    other = load_settings(home=tmp_path / "new", database_url="postgresql+psycopg://u@127.0.0.1/x")
    with pytest.raises(SettingsError, match="holds a SQLite database"):
        restore(other, tmp_path / "backup")
    engine = make_engine(parse_url(settings.catalog_url))
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    back_up(settings, tmp_path / "later")
    with pytest.raises(CatalogError, match="newer Likeness"):
        restore(load_settings(home=tmp_path / "new"), tmp_path / "later")


def test_a_backup_goes_to_a_new_folder_outside_the_home_or_nowhere(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    with pytest.raises(BackupError, match="nothing to back up"):
        back_up(settings, tmp_path / "backup")
    Catalog.open(settings.catalog_url).close()
    with pytest.raises(BackupError, match="in the home"):
        back_up(settings, tmp_path / "home" / "backup")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    with pytest.raises(BackupError, match="exists already"):
        back_up(settings, taken)
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(settings, taken / "file" / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "taken"]


def test_derived_folders_and_half_written_uploads_stay_out(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    Catalog.open(settings.catalog_url).close()
    for name in ("index/1/1/x", "thumbnails/ab", "uploads/.half", "uploads/a.png", "trash/.hidden"):
        path = settings.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (settings.home / "link").symlink_to("/etc")
    report = back_up(settings, tmp_path / "backup")
    assert set(report.manifest.files) == {
        "database/catalog.sqlite3", "home/uploads/a.png", "home/trash/.hidden"
    }  # fmt: skip
    assert report.manifest.left_out == ("link",)


def test_a_settings_file_that_names_another_database_does_not_lead_away(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    Catalog.open(settings.catalog_url).close()
    named = settings.home / SETTINGS_FILE
    named.write_text('database_url = "postgresql+psycopg://u@production/db"\n')
    back_up(settings, tmp_path / "backup")
    new = load_settings(home=tmp_path / "new")
    report = restore(new, tmp_path / "backup")
    assert any("another database" in notice for notice in report.notices)
    assert load_settings(home=tmp_path / "new").database_url == ""
    assert (tmp_path / "new" / f"{SETTINGS_FILE}.restored").is_file()


def test_the_commands_back_up_restore_and_build_the_index_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("likeness.cli.restore.Runtime", lambda s: FakeRuntime(s, FakeEncoder()))
    write_pictures(tmp_path / "photos")
    settings = load_settings(home=tmp_path / "home", decode_workers=1)
    with FakeRuntime(settings, FakeEncoder()) as runtime:
        request = IndexRequest("default", sources=[str(tmp_path / "photos")])
        Indexer(runtime).index(request, Progress(), threading.Event())
    home, backup = str(tmp_path / "home"), str(tmp_path / "backup")
    assert cli_main.run(["--home", home, "backup", backup]) == 0
    assert "SHA-256" in capsys.readouterr().out
    assert cli_main.run(["--home", home, "restore", "--check", backup]) == 0
    assert "all as they were written" in capsys.readouterr().out
    assert cli_main.run(["--home", home, "restore", backup]) == 2
    assert "--replace" in capsys.readouterr().err
    assert cli_main.run(["--home", str(tmp_path / "new"), "restore", backup]) == 0
    assert "1 indexes built" in capsys.readouterr().out
    assert list((tmp_path / "new" / "index").glob("*/*/r*/manifest.json"))
