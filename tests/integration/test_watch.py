"""A watched folder: real files, real events; only the encoder is a fake."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer.progress import IndexReport, Progress
from indexer.service import IndexRequest
from indexer.sources.patterns import Selection
from indexer.watching.touched import TouchedIndexer
from indexer.watching.watcher import Watcher, WatchOptions
from likeness.catalog import Catalog
from likeness.errors import SourceError
from likeness.settings import load_settings
from likeness.types import ImageState
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import draw_picture, write_pictures
from tests.fakes.runtime import FakeRuntime

ROOT = Path(__file__).resolve().parents[2]
QUICK = WatchOptions(settle_s=0.3, patience_s=3.0, rescan_s=0)
TIMEOUT_S = 60.0


class Watched:
    """A folder under watch; `eventually` waits for what the catalog should come to hold."""

    def __init__(self, runtime: FakeRuntime, folder: Path, encoder: FakeEncoder) -> None:
        self.runtime, self.folder, self.encoder = runtime, folder, encoder
        self.reports: list[IndexReport] = []
        self.said: list[str] = []
        self.scans = 0
        self.refusals = 0

    def ready(self) -> dict[str, int]:
        """Path below the folder → image id."""
        collection = self.runtime.catalog.collection("default")
        rows = self.runtime.catalog.list_images(collection.id, state=ImageState.READY, limit=1000)
        return {str(Path(row.path).relative_to(self.folder)): row.id for row in rows}

    def eventually(self, holds: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        deadline = time.monotonic() + TIMEOUT_S
        while not holds(found := self.ready()):
            assert time.monotonic() < deadline, sorted(found)
            time.sleep(0.05)
        return found


@contextmanager
def watching(
    tmp_path: Path, options: WatchOptions = QUICK, **selection: Sequence[str]
) -> Iterator[Watched]:
    folder = tmp_path / "photos"
    write_pictures(folder)
    settings = load_settings(home=tmp_path / "home", decode_workers=1)
    encoder, stop = FakeEncoder(), threading.Event()
    with FakeRuntime(settings, encoder) as runtime:
        indexer, watched = TouchedIndexer(runtime), Watched(runtime, folder, encoder)
        request = IndexRequest("default", sources=[str(folder)], **selection)  # type: ignore[arg-type]

        def scan() -> None:
            watched.reports.append(indexer.index(request, Progress(), stop))
            watched.scans += 1

        def follow(paths: Sequence[Path]) -> bool:
            if watched.refusals:
                watched.refusals -= 1
                return False
            watched.reports.append(indexer.follow(request, folder, paths, Progress(), stop))
            return True

        watcher = Watcher(
            folder,
            Selection.of(**selection),
            options,
            scan=scan,
            follow=follow,
            say=watched.said.append,
        )
        thread = threading.Thread(target=watcher.run, args=(stop,))
        thread.start()
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while not watched.scans and time.monotonic() < deadline:
                time.sleep(0.02)
            assert len(watched.ready()) == 12
            yield watched
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()


def test_new_changed_and_deleted_images_are_followed(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        before = watched.ready()
        draw_picture(50).save(watched.folder / "new.png")
        after = watched.eventually(lambda found: "new.png" in found)
        assert {name: after[name] for name in before} == before

        draw_picture(51).save(watched.folder / "new.png")
        changed = watched.eventually(lambda found: found.get("new.png") != after["new.png"])
        assert len(changed) == 13  # another image, in place of the one before

        (watched.folder / "new.png").unlink()
        (watched.folder / "more" / "picture005.webp").unlink()
        gone = watched.eventually(lambda found: len(found) == 11)
        assert set(before) - set(gone) == {"more/picture005.webp"}


def test_moves_and_renamed_folders_keep_ids_and_embed_nothing(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        before, embedded = watched.ready(), watched.encoder.prepared
        (watched.folder / "picture000.jpg").rename(watched.folder / "renamed.jpg")
        (watched.folder / "more").rename(watched.folder / "other")
        after = watched.eventually(
            lambda found: "renamed.jpg" in found and "other/picture005.webp" in found
        )
        watched.eventually(lambda found: not any(name.startswith("more/") for name in found))
        assert after["renamed.jpg"] == before["picture000.jpg"]
        assert after["other/picture005.webp"] == before["more/picture005.webp"]
        assert watched.encoder.prepared == embedded


def test_whole_folders_come_and_go(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        write_pictures(tmp_path / "elsewhere", 5)
        for seed in range(5):
            draw_picture(200 + seed).save(tmp_path / "elsewhere" / f"x{seed}.png")
        (tmp_path / "elsewhere").rename(watched.folder / "arrived")
        watched.eventually(lambda found: sum(n.startswith("arrived/x") for n in found) == 5)
        shutil.rmtree(watched.folder / "arrived")
        watched.eventually(lambda found: not any(n.startswith("arrived/") for n in found))
        assert len(watched.ready()) == 12


def test_a_file_that_is_written_slowly_is_read_once_and_whole(tmp_path: Path) -> None:
    data = io.BytesIO()
    draw_picture(60, (800, 600)).save(data, "PNG")
    parts = [
        data.getvalue()[start : start + 3000] for start in range(0, len(data.getvalue()), 3000)
    ]
    with watching(tmp_path) as watched:
        runs = len(watched.reports)
        with (watched.folder / "slow.png").open("wb") as file:
            for part in parts[:-1]:
                file.write(part)
                file.flush()
                time.sleep(0.02)
            time.sleep(1.5)  # a pause longer than it takes to count as standing still
            assert "slow.png" not in watched.ready()
            file.write(parts[-1])
        watched.eventually(lambda found: "slow.png" in found)
        collection = watched.runtime.catalog.collection("default")
        assert watched.runtime.catalog.counts(collection.id).failed == 0
        deadline = time.monotonic() + TIMEOUT_S
        while len(watched.reports) == runs and time.monotonic() < deadline:
            time.sleep(0.05)  # stored a moment before its step has ended
        time.sleep(0.5)
        assert len(watched.reports) == runs + 1


def test_a_file_that_stays_half_is_listed_as_failed_and_mended_when_it_changes(
    tmp_path: Path,
) -> None:
    options = WatchOptions(settle_s=0.2, patience_s=0.6, rescan_s=0)
    with watching(tmp_path, options) as watched:
        data = io.BytesIO()
        draw_picture(61).save(data, "PNG")
        (watched.folder / "half.png").write_bytes(data.getvalue()[:100])
        collection = watched.runtime.catalog.collection("default")
        deadline = time.monotonic() + TIMEOUT_S
        while watched.runtime.catalog.counts(collection.id).failed != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (watched.folder / "half.png").write_bytes(data.getvalue())
        watched.eventually(lambda found: "half.png" in found)


def test_patterns_count_from_the_watched_folder(tmp_path: Path) -> None:
    with watching(tmp_path, exclude=["more/raw/**", "*.tmp"]) as watched:
        (watched.folder / "more" / "raw").mkdir()
        draw_picture(70).save(watched.folder / "more" / "raw" / "no.png")
        draw_picture(71).save(watched.folder / "more" / "yes.png")
        (watched.folder / "x.tmp").write_bytes(b"x")
        (watched.folder / ".hidden.png").write_bytes(b"x")
        found = watched.eventually(lambda found: "more/yes.png" in found)
        assert len(found) == 13


def test_a_folder_that_disappears_keeps_its_images_until_it_is_back(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        away = tmp_path / "unmounted"
        watched.folder.rename(away)
        deadline = time.monotonic() + TIMEOUT_S
        while not watched.said and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "is not there" in watched.said[0]
        time.sleep(0.5)
        assert len(watched.ready()) == 12
        draw_picture(80).save(away / "meanwhile.png")
        away.rename(watched.folder)
        watched.eventually(lambda found: "meanwhile.png" in found)
        draw_picture(81).save(watched.folder / "afterwards.png")
        watched.eventually(lambda found: "afterwards.png" in found)


def test_a_folder_that_is_mounted_again_may_be_another_one(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        away = tmp_path / "unmounted"
        watched.folder.rename(away)
        watched.folder.mkdir()  # as an empty mount point is left
        deadline = time.monotonic() + TIMEOUT_S
        while not watched.said and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        assert len(watched.ready()) == 12
        watched.folder.rmdir()
        shutil.copytree(away, watched.folder)  # another inode, as another device would have
        draw_picture(83).save(watched.folder / "afterwards.png")
        found = watched.eventually(lambda found: "afterwards.png" in found)
        assert len(found) == 13


def test_what_no_event_told_is_found_by_the_next_scan(tmp_path: Path) -> None:
    options = WatchOptions(settle_s=3600.0, patience_s=3600.0, rescan_s=0.5)
    with watching(tmp_path, options) as watched:
        draw_picture(90).save(watched.folder / "new.png")
        watched.eventually(lambda found: "new.png" in found)


def test_what_cannot_be_done_now_is_done_later(tmp_path: Path) -> None:
    with watching(tmp_path) as watched:
        watched.refusals = 2
        draw_picture(92).save(watched.folder / "new.png")
        watched.eventually(lambda found: "new.png" in found)
        assert watched.refusals == 0


def test_changes_are_found_by_polling_too(tmp_path: Path) -> None:
    options = WatchOptions(settle_s=0.3, patience_s=3.0, rescan_s=0, poll=True)
    with watching(tmp_path, options) as watched:
        draw_picture(91).save(watched.folder / "new.png")
        watched.eventually(lambda found: "new.png" in found)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        Watcher(
            tmp_path / "none",
            Selection(),
            QUICK,
            scan=lambda: None,
            follow=lambda _: True,
            say=lambda _: None,
        )


def test_the_command_watches_until_ctrl_c_and_leaves_cleanly(tmp_path: Path) -> None:
    folder, home = tmp_path / "photos", tmp_path / "home"
    write_pictures(folder, 2)
    environment = {
        **os.environ, "LIKENESS_HOME": str(home), "LIKENESS_ENCODER": "likeness:tiny",
        "LIKENESS_DECODE_WORKERS": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    code = "import sys; from likeness.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "watch", "--settle", "0.3", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "2 embedded" in line:
                draw_picture(40).save(folder / "new.png")
            if "1 embedded" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 0, [*lines, rest]
    assert "Traceback" not in "".join(lines) + rest
    with Catalog.open(f"sqlite:///{home}/catalog.sqlite3") as catalog:
        assert catalog.counts(catalog.collection("default").id).ready == 3
