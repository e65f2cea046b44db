from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

import pytest

from indexer.sources import (
    ProblemKind,
    Source,
    SourceItem,
    SourceLimits,
    SourceProblem,
    open_source,
    read_uri,
)
from indexer.sources import files as files_module
from likeness.errors import ImageTooLarge, SourceError, UnreadableSource


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def items(source: Source) -> list[SourceItem]:
    return [found for found in source.scan() if isinstance(found, SourceItem)]


def problems(source: Source) -> list[SourceProblem]:
    return [found for found in source.scan() if isinstance(found, SourceProblem)]


def inside(source: Source, folder: Path) -> list[str]:
    return [os.path.relpath(item.path, folder) for item in items(source)]


def test_a_folder_is_listed_below_in_a_stable_order_with_sizes_and_times(tmp_path: Path) -> None:
    write(tmp_path, "b.jpg", "a/2.png", "a/1.png", "c/d/e.gif", "a.txt")
    with open_source(tmp_path) as source:
        assert inside(source, tmp_path) == ["a/1.png", "a/2.png", "b.jpg", "c/d/e.gif"]
        first = items(source)[0]
        facts = (tmp_path / "a/1.png").stat()
        assert (first.size, first.mtime_ns) == (facts.st_size, facts.st_mtime_ns)
        assert first.uri == (tmp_path / "a/1.png").as_uri()
        assert source.root is not None
        assert first.uri.startswith(source.root)
        assert source.read(first) == b"a/1.png"
    assert read_uri(first.uri) == b"a/1.png"


def test_patterns_and_hidden_files_select_within_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.png", "raw/c.jpg", ".hidden.jpg", ".git/d.jpg")
    assert inside(open_source(tmp_path, include=["*.jpg"], exclude=["raw"]), tmp_path) == ["a.jpg"]
    assert inside(open_source(tmp_path, include=["*.jpg"], hidden=True), tmp_path) == [
        ".git/d.jpg",
        ".hidden.jpg",
        "a.jpg",
        "raw/c.jpg",
    ]


def test_names_that_are_not_utf8_or_hold_newlines_and_quotes_are_read(tmp_path: Path) -> None:
    odd = [os.fsdecode(b"caf\xe9.jpg"), "new\nline.jpg", "quo'te\".jpg", " blank .jpg", "%41.jpg"]
    write(tmp_path, *odd)
    with open_source(tmp_path) as source:
        found = {item.path.rpartition("/")[2]: item for item in items(source)}
        assert set(found) == {"caf\ufffd.jpg", *odd[1:]}
        for item in found.values():
            assert source.read(item)
            assert source.exists(item.uri)
        assert found["caf\ufffd.jpg"].uri.endswith("caf%E9.jpg")


def test_links_are_left_out_unless_followed_and_loops_end(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(root, "a.jpg", "sub/b.jpg")
    write(outside, "c.jpg", "deep/d.jpg")
    (root / "link.jpg").symlink_to(root / "a.jpg")
    (root / "gone.jpg").symlink_to(root / "nothing.jpg")
    (root / "sub" / "loop").symlink_to(root, target_is_directory=True)
    (root / "again").symlink_to(root / "sub", target_is_directory=True)
    (root / "out1").symlink_to(outside, target_is_directory=True)
    (root / "out2").symlink_to(outside, target_is_directory=True)
    (outside / "back").symlink_to(outside, target_is_directory=True)
    (outside / "home").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root / "self")
    assert inside(open_source(root), root) == ["a.jpg", "sub/b.jpg"]
    assert inside(open_source(root, follow_symlinks=True), root) == [
        "a.jpg",
        "link.jpg",
        "out1/c.jpg",
        "out1/deep/d.jpg",
        "sub/b.jpg",
    ]


def test_folders_that_link_to_each_other_in_many_ways_are_entered_once_each(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / f"chain{i}" for i in range(30)]
    for folder in folders:
        write(folder, "a.jpg")
    for here, onward in itertools.pairwise(folders):
        (here / "x").symlink_to(onward, target_is_directory=True)
        (here / "y").symlink_to(onward, target_is_directory=True)
    assert len(items(open_source(folders[0], follow_symlinks=True))) == 30


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.jpg"))
    try:
        source = open_source(tmp_path)
        assert list(source.scan()) == []
        pipe = SourceItem((tmp_path / "pipe.jpg").as_uri(), "pipe.jpg", 0, 0)
        with pytest.raises(UnreadableSource, match="not a regular file"):
            source.read(pipe)
        with pytest.raises(SourceError, match="neither a file nor a folder"):
            open_source(tmp_path / "pipe.jpg")
    finally:
        listener.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_folder_is_reported_and_nothing_below_it_vanishes(tmp_path: Path) -> None:
    write(tmp_path, "open/a.jpg", "shut/b.jpg")
    (tmp_path / "shut").chmod(0)
    try:
        check_unlistable(tmp_path)
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_reported_and_nothing_below_it_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "open/a.jpg", "shut/b.jpg")
    real = os.scandir

    def scandir(folder: str) -> object:
        if folder.endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(files_module.os, "scandir", scandir)
    check_unlistable(tmp_path)


def check_unlistable(folder: Path) -> None:
    source = open_source(folder)
    found = list(source.scan())
    assert [item.path for item in found] == [str(folder / "open/a.jpg"), str(folder / "shut")]
    problem = found[1]
    assert isinstance(problem, SourceProblem)
    assert problem.kind is ProblemKind.UNREADABLE
    assert "permission denied" in problem.reason
    assert source.unreadable == (problem.prefix,)
    assert problem.prefix is not None
    assert (folder / "shut/b.jpg").as_uri().startswith(problem.prefix)


def test_a_file_that_vanished_no_longer_exists_and_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    source = open_source(tmp_path)
    item = items(source)[0]
    (tmp_path / "a.jpg").unlink()
    assert not source.exists(item.uri)
    with pytest.raises(UnreadableSource, match="no such file"):
        source.read(item)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    source = open_source(tmp_path, limits=SourceLimits(max_bytes=1000))
    with pytest.raises(ImageTooLarge, match="LIKENESS_MAX_BYTES"):
        source.read(items(source)[0])


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_changes_while_it_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 1000)
    source = open_source(tmp_path)
    item = items(source)[0]
    real = os.read

    def read(fd: int, size: int) -> bytes:
        if change == "shrink":
            os.truncate(path, 10)
        data = real(fd, size)
        if change == "grow":
            path.write_bytes(b"y" * 2000)
        if change == "touch":
            os.utime(path, ns=(1, 1))
        return data

    monkeypatch.setattr(files_module.os, "read", read)
    with pytest.raises(UnreadableSource, match="changed while being read"):
        source.read(item)


def test_an_archive_in_a_folder_is_named_not_opened(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.zip", "c.tar.gz")
    source = open_source(tmp_path)
    assert inside(source, tmp_path) == ["a.jpg"]
    assert [(p.path[-5:], p.kind) for p in problems(source)] == [
        ("b.zip", ProblemKind.SKIPPED),
        ("ar.gz", ProblemKind.SKIPPED),
    ]


def test_one_file_is_a_source_too_and_covers_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    source = open_source(str(tmp_path / "a.jpg"))
    assert [source.read(item) for item in items(source)] == [b"a.jpg"]
    assert source.root is None


def test_a_source_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(tmp_path / "nothing")


def test_a_folder_of_great_depth_is_listed(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    write(deep, "a.jpg")
    assert len(items(open_source(tmp_path))) == 1
