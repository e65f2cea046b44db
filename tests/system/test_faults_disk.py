"""Disks fill up: the database's while a batch is committed, the indexes' while one is published."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from likeness.catalog import Catalog
from likeness.catalog.serving.work import NewWork
from tests.system.lab import Lab, fake_worker, open_lab, write_photos
from tests.system.stack import Stack
from workers.kinds import CPU, PUBLISH

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("servers"),
]


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of that size, in memory; skips where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="likeness-disk-"))
    folder.chmod(0o755)  # PostgreSQL is another user
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue
    assert shutil.disk_usage(disk).free == 0
    return filler


def test_the_databases_disk_is_full_while_batches_are_committed(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 60)
    stack = Stack(
        tmp_path / "stack",
        workers=0,
        worker=fake_worker(0.02),
        queue_attempts=50,
        queue_backoff_s=0.2,
        queue_images=4,
        queue_lease_s=3,
        queue_sweep_s=0.4,
        decode_workers=1,
        compact_s=0,
    )
    with small_disk("48m") as disk, stack:
        _move_database(stack, disk)
        lab = Lab(stack, tmp_path)
        try:
            stack.start_worker()
            job = lab.index(photos)
            lab.under_way(job, 4)
            filler = fill(disk)
            lab_says = lambda: "the disk is full" in stack.log("worker0")  # noqa: E731
            deadline = time.monotonic() + 30
            while not lab_says() and time.monotonic() < deadline:
                time.sleep(0.2)
            settled = lab.job(job.id).settled
            filler.unlink()
            assert settled < 60, "the disk was never too full for a batch"
            assert lab_says(), stack.log("worker0")[-3000:]
            done = lab.finished(job)
            assert (done.state, done.settled) == ("done", 60)
            lab.check(photos)
        finally:
            lab.close()


def test_the_disk_of_the_indexes_is_full_while_one_is_published(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 60)
    with (
        small_disk("2m") as disk,
        open_lab(tmp_path, workers=1, home=disk, queue_attempts=50) as lab,
    ):
        job = lab.finished(lab.index(photos))
        assert job.state == "done"
        space_id = lab.catalog.spaces(lab.catalog.collection("default").id)[0].id
        before = lab.catalog.snapshots(space_id)[0].name
        lab.catalog.set_aside(space_id, before, "so that another one is due")
        for old in disk.glob(f"index/*/*/{before}"):  # publishing would make room by its removal
            shutil.rmtree(old)
        filler = fill(disk)
        piece = NewWork(PUBLISH, CPU, {"collection": "default"})
        job = lab.queue.ledger.submit("default", "publish", {}, [piece])
        lab.queue.retry(job.id)  # workers hear of it
        lab.wait_for(
            job,
            lambda _: "could not be written" in lab.stack.log("worker0"),
            "the index could not be written",
        )
        lab.check(photos)  # it answers right without an index
        filler.unlink()
        done = lab.finished(job)
        assert done.state == "done"
        current = [s.name for s in lab.catalog.snapshots(space_id) if s.state == "current"]
        assert len(current) == 1
        assert current[0] != before
        lab.check(photos)


def _move_database(stack: Stack, disk: Path) -> None:
    """Its tables lie on that disk; what PostgreSQL needs to live (its log) does not."""
    owner = shutil.chown if os.getuid() == 0 else None
    place = disk / "tables"
    place.mkdir()
    if owner is not None:
        owner(place, user=stack.postgres.user)
    stack.postgres.drop_database("likeness")
    with psycopg.connect(stack.postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        connection.execute("CREATE DATABASE likeness TABLESPACE small")
    Catalog.open(stack.database_url).close()
