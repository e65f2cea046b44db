"""Snapshots against damage, full disks and kills."""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.errors import SnapshotDamaged, SnapshotNotWritten
from likeness.vectors.snapshot import discard, open_snapshot, write_snapshot
from search.spaces import SpaceReader
from tests.fakes.catalogs import make_space, store
from tests.fakes.vectors import unit_vectors

PAGE = 4096
TRIALS = 1000

Damage = Callable[[Path, random.Random], bool]
"""Harms one file; False when it came out as it was."""


def flip_a_bit(victim: Path, chance: random.Random) -> bool:
    data = bytearray(victim.read_bytes())
    at = chance.randrange(len(data) * 8)
    data[at // 8] ^= 1 << (at % 8)
    victim.write_bytes(data)
    return True


def cut_it_short(victim: Path, chance: random.Random) -> bool:
    data = victim.read_bytes()
    victim.write_bytes(data[: chance.randrange(len(data))])
    return True


def zero_a_page(victim: Path, chance: random.Random) -> bool:
    data = bytearray(victim.read_bytes())
    start = PAGE * chance.randrange((len(data) + PAGE - 1) // PAGE)
    page = data[start : start + PAGE]
    data[start : start + PAGE] = bytes(len(page))
    victim.write_bytes(data)
    return any(page)


def remove_it(victim: Path, chance: random.Random) -> bool:
    victim.unlink()
    return True


def swap_two_blocks(victim: Path, chance: random.Random) -> bool:
    data = bytearray(victim.read_bytes())
    size = min(512, len(data) // 2)
    first, second = 0, len(data) - size
    one, other = data[first : first + size], data[second : second + size]
    data[first : first + size], data[second : second + size] = other, one
    victim.write_bytes(data)
    return one != other


def append_something(victim: Path, chance: random.Random) -> bool:
    with victim.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 100)))
    return True


DAMAGES: list[Damage] = [
    flip_a_bit,
    cut_it_short,
    zero_a_page,
    remove_it,
    swap_two_blocks,
    append_something,
]


def write(target: Path, n: int = 2000, dim: int = 32, seed: int = 0) -> None:
    batches = [(np.arange(1, n + 1), unit_vectors(n, dim, seed))]
    write_snapshot(target, batches, fingerprint="ab", dim=dim, revision=1, digest="cd")


@pytest.mark.parametrize("in_memory_bytes", [0, 1 << 30], ids=["mapped", "in memory"])
def test_each_of_a_thousand_damages_is_noticed_before_the_first_answer(
    tmp_path: Path, in_memory_bytes: int
) -> None:
    write(tmp_path / "good")
    names = sorted(path.name for path in (tmp_path / "good").iterdir())
    chance = random.Random(20)
    unnoticed, done = [], 0
    while done < TRIALS:
        damage, name = chance.choice(DAMAGES), chance.choice(names)
        folder = tmp_path / "bad"
        shutil.copytree(tmp_path / "good", folder)
        (folder / name).chmod(0o644)
        if damage(folder / name, chance):
            done += 1
            with contextlib.suppress(SnapshotDamaged):
                open_snapshot(folder, in_memory_bytes=in_memory_bytes)
                unnoticed.append((done, damage.__name__, name))
        shutil.rmtree(folder)
    assert unnoticed == []
    open_snapshot(tmp_path / "good", in_memory_bytes=in_memory_bytes)


def test_files_of_two_snapshots_do_not_mix(tmp_path: Path) -> None:
    write(tmp_path / "one", seed=1)
    write(tmp_path / "two", seed=2)
    shutil.copy(tmp_path / "two" / "vectors.f16", tmp_path / "vectors.f16")
    (tmp_path / "one" / "vectors.f16").unlink()
    (tmp_path / "vectors.f16").rename(tmp_path / "one" / "vectors.f16")
    with pytest.raises(SnapshotDamaged, match=r"vectors\.f16"):
        open_snapshot(tmp_path / "one")


def test_a_file_size_limit_leaves_the_old_snapshot_and_no_leftovers(tmp_path: Path) -> None:
    write(tmp_path / "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 1000, 20_000, 100_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(SnapshotNotWritten, match="too large"):
                write(tmp_path / "new", seed=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.name for path in tmp_path.iterdir()] == ["old"]
        assert open_snapshot(tmp_path / "old").manifest.count == 2000


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 256 KiB; skips where mounting one is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_old_snapshot_and_no_leftovers(small_disk: Path) -> None:
    write(small_disk / "old", n=1500)  # 108 KB
    for _ in range(2):
        with pytest.raises(SnapshotNotWritten, match="No space left"):
            write(small_disk / "new", n=4000)
    assert [path.name for path in small_disk.iterdir()] == ["old"]
    assert open_snapshot(small_disk / "old").manifest.count == 1500
    discard(small_disk / "old")
    write(small_disk / "new", n=2000)


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_snapshots import write

left = int(sys.argv[2])

def counted(call):
    def step(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return step

for name in ("write", "fsync", "fchmod", "rename", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))
write(Path(sys.argv[1]), n=300)
"""


def test_a_writer_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    outcomes = []
    for step in range(40):
        target = tmp_path / str(step) / "new"
        command = [sys.executable, "-c", KILLED_WRITER, str(target), str(step)]
        done = subprocess.run(command, cwd=root, check=False, timeout=120, capture_output=True)
        if target.exists():
            assert open_snapshot(target).manifest.count == 300
        outcomes.append((done.returncode, target.exists()))
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr.decode()
    assert outcomes[-1] == (0, True)
    assert len(outcomes) > 8
    assert not outcomes[0][1]


KILLED_PUBLISHER = """
import os, signal, sys
from pathlib import Path
import sqlalchemy
from indexer.publish import publish
from likeness.catalog import Catalog

left = int(sys.argv[3])

def step(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(call):
    def counting(*arguments, **options):
        step()
        return call(*arguments, **options)
    return counting

catalog = Catalog.open(sys.argv[1])
(summary,) = catalog.collections()
for name in ("write", "fsync", "rename", "mkdir", "rmdir", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", step)
sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", step)
publish(catalog, summary.spaces[0].space, Path(sys.argv[2]))
"""


def test_a_publisher_killed_at_any_step_leaves_an_index_that_serves(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    url, folder = f"sqlite:///{tmp_path}/catalog.db", tmp_path / "index"
    with Catalog.open(url) as catalog:
        space = make_space(catalog, catalog.create_collection("default"))
        store(catalog, space, {f"{i}": i for i in range(40)})
        publish(catalog, space, folder)
        store(catalog, space, {f"more {i}": 40 + i for i in range(10)})
        everything = next(ids for ids, _ in catalog.stream_vectors(space.id)).tolist()
        steps, finished = 0, False
        while not finished:
            command = [sys.executable, "-c", KILLED_PUBLISHER, url, str(folder), str(steps)]
            done = subprocess.run(command, cwd=root, check=False, timeout=120, capture_output=True)
            finished = done.returncode == 0
            assert finished or done.returncode == -9, done.stderr.decode()
            reader = SpaceReader(catalog, space, folder)
            view = reader.view(wait=True)
            assert view.snapshot is not None
            assert reader.notices == []
            assert np.union1d(view.base.ids, view.tail.ids).tolist() == everything
            reader.close()
            steps += 3
        rows = catalog.snapshots(space.id)
        assert {path.name for path in folder.glob("r*")} == {row.name for row in rows}
        assert list(folder.glob(".partial-*")) == []
        assert steps > 20
