from __future__ import annotations

import io
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import pyarrow as pa
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
from indexer.sources import tarred as tarred_module
from likeness.errors import ImageTooLarge, SourceError, UnreadableSource

Members = Mapping[str, bytes]
TARS = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"]
EVERY = [".zip", *TARS]


def write_archive(path: Path, members: Members) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.write_bytes(compressed(plain.getvalue(), path))
    return path


def compressed(data: bytes, path: Path) -> bytes:
    import bz2
    import gzip
    import lzma

    compress: dict[str, Callable[[bytes], bytes]] = {
        ".tar": bytes,
        ".gz": gzip.compress,
        ".tgz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda plain: pa.Codec("zstd").compress(plain, asbytes=True),
    }
    return compress[path.suffix](data)


def items(source: Source) -> list[SourceItem]:
    return [found for found in source.scan() if isinstance(found, SourceItem)]


def problems(source: Source) -> list[SourceProblem]:
    return [found for found in source.scan() if isinstance(found, SourceProblem)]


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("ending", EVERY)
def test_members_come_in_their_order_and_with_their_bytes(tmp_path: Path, ending: str) -> None:
    members = {
        "z.jpg": noise(1000),
        "folder/a b.png": noise(512),
        "folder/ümläut.jpg": noise(70_000),
        "empty.jpg": b"",
        "deep/er/x.webp": noise(513),
    }
    path = write_archive(tmp_path / f"photos{ending}", members)
    scheme = "zip" if ending == ".zip" else "tar"
    with open_source(path) as source:
        found = items(source)
        assert [item.path.partition("!/")[2] for item in found] == list(members)
        assert [item.size for item in found] == [len(data) for data in members.values()]
        assert source.root == f"{scheme}+{path.as_uri()}!/"
        for item, data in zip(found, members.values(), strict=True):
            assert item.uri.startswith(source.root)
            assert item.uri.isascii()
            assert item.mtime_ns == path.stat().st_mtime_ns
            assert source.read(item) == data
            assert source.exists(item.uri)
            assert read_uri(item.uri) == data
        assert not source.exists(source.root + "gone.jpg")
        with pytest.raises(UnreadableSource, match="no such member"):
            source.read(SourceItem(source.root + "gone.jpg", "gone", 1, 1))


@pytest.mark.parametrize("ending", EVERY)
def test_members_are_read_in_any_order_and_more_than_once(tmp_path: Path, ending: str) -> None:
    members = {f"{i:03}.jpg": noise(3000 + i, i) for i in range(30)}
    with open_source(write_archive(tmp_path / f"a{ending}", members)) as source:
        found = items(source)
        for item in [*reversed(found), *found, *found[::3]]:
            assert source.read(item) == members[item.path[-7:]]


def test_a_compressed_archive_is_unpacked_once_when_reads_follow_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"{i:03}.jpg": noise(5000, i) for i in range(40)}
    path = write_archive(tmp_path / "a.tar.gz", members)
    opened: list[str] = []
    real = tarred_module.ForwardStream

    def counting(file: IO[bytes], size: int) -> tarred_module.ForwardStream:
        opened.append(str(file))
        return real(file, size)

    monkeypatch.setattr(tarred_module, "ForwardStream", counting)
    with open_source(path) as source:
        for item in source.scan():
            assert isinstance(item, SourceItem)
            assert source.read(item) == members[item.path[-7:]]
    assert len(opened) == 1


def test_what_a_compressed_archives_scan_keeps_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarred_module, "_KEPT_BYTES", 20_000)
    members = {f"{i:03}.jpg": noise(4000, i) for i in range(40)}
    with open_source(write_archive(tmp_path / "a.tar.gz", members)) as source:
        found = items(source)
        assert len(source._kept._data) == 5  # type: ignore[attr-defined]
        for item in found:
            assert source.read(item) == members[item.path[-7:]]


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_names_that_climb_out_are_only_names(tmp_path: Path, ending: str) -> None:
    names = ["../../etc/evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "./fine.jpg"]
    path = write_archive(tmp_path / f"a{ending}", {name: name.encode() for name in names})
    with open_source(path) as source:
        found = items(source)
        assert len({item.uri for item in found}) == 4
        assert [source.read(item).decode() for item in found] == names
    assert sorted(tmp_path.rglob("*")) == [path]


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_archives_within_archives_are_named_not_opened(tmp_path: Path, ending: str) -> None:
    path = write_archive(tmp_path / f"a{ending}", {"in.zip": b"PK", "b.tar.gz": b"", "c.jpg": b"c"})
    with open_source(path) as source:
        assert [item.path[-5:] for item in items(source)] == ["c.jpg"]
        assert [problem.kind for problem in problems(source)] == [ProblemKind.SKIPPED] * 2
        assert source.unreadable == ()


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_hidden_members_and_other_files_are_left_out(tmp_path: Path, ending: str) -> None:
    members = {"__MACOSX/._a.jpg": b"", ".b.jpg": b"", "notes.md": b"", "c.jpg": b"c", "d.png": b""}
    path = write_archive(tmp_path / f"a{ending}", members)
    with open_source(path) as source:
        assert [item.path[-5:] for item in items(source)] == ["c.jpg", "d.png"]
    with open_source(path, include=["*.png"]) as source:
        assert [item.path[-5:] for item in items(source)] == ["d.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_of_two_members_of_one_name_the_first_counts(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jpg", b"first")
            archive.writestr("a.jpg", b"second")
    else:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            for data in (b"first", b"second"):
                info = tarfile.TarInfo("a.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        path.write_bytes(compressed(plain.getvalue(), path))
    with open_source(path) as source:
        found = items(source)
        assert [source.read(item) for item in found] == [b"first"]
        assert "same name" in problems(source)[0].reason


@pytest.mark.parametrize("ending", EVERY)
def test_a_member_over_the_limit_is_refused_by_its_declared_size(
    tmp_path: Path, ending: str
) -> None:
    members = {"a.jpg": noise(5000), "b.jpg": noise(100)}
    path = write_archive(tmp_path / f"a{ending}", members)
    with open_source(path, limits=SourceLimits(max_bytes=1000)) as source:
        large, small = items(source)
        with pytest.raises(ImageTooLarge):
            source.read(large)
        assert source.read(small) == members["b.jpg"]


def test_a_zip_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"a.jpg": b"\x00" * 5_000_000})
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(magic)
        data[at + offset : at + offset + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    with open_source(path, limits=SourceLimits(max_bytes=100_000)) as source:
        item = items(source)[0]
        assert item.size == 1000
        with pytest.raises((UnreadableSource, ImageTooLarge)):
            source.read(item)


def test_an_encrypted_member_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"a.jpg": b"secret"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with open_source(path) as source, pytest.raises(UnreadableSource, match="encrypted"):
        source.read(items(source)[0])


def test_a_damaged_zip_member_is_unreadable_and_the_others_are_read(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"a.jpg": noise(5000, 1), "b.jpg": noise(5000, 2)})
    data = bytearray(path.read_bytes())
    data[2000] ^= 255
    path.write_bytes(data)
    with open_source(path) as source:
        first, second = items(source)
        with pytest.raises(UnreadableSource, match="damaged"):
            source.read(first)
        assert source.read(second) == noise(5000, 2)


def test_a_broken_zip_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04" + b"nonsense" * 20)
    with pytest.raises(SourceError, match="cannot be read"):
        open_source(path)


@pytest.mark.parametrize("ending", TARS)
def test_a_truncated_tar_gives_what_came_before_and_lets_nothing_vanish(
    tmp_path: Path, ending: str
) -> None:
    members = {f"{i:03}.jpg": noise(40_000, i) for i in range(20)}
    path = write_archive(tmp_path / f"a{ending}", members)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(path) as source:
        found = list(source.scan())
        assert source.root is not None
        assert source.unreadable == (source.root,)
        assert isinstance(found[-1], SourceProblem)
        assert found[-1].kind is ProblemKind.UNREADABLE
        assert source.exists(source.root + "019.jpg")
        whole = [item for item in found if isinstance(item, SourceItem)]
        if ending == ".tar":
            assert len(whole) >= 9
        for item in whole[:-1]:
            assert source.read(item) == members[item.path[-7:]]


def test_links_and_devices_in_a_tar_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind!r}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with open_source(path) as source:
        assert list(source.scan()) == []


def test_a_tar_header_that_declares_gigabytes_costs_nothing(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\x00" * 2048)
    with open_source(path) as source:
        found = problems(source)
        assert found[0].kind is ProblemKind.UNREADABLE
        assert "declares" in found[0].reason


def test_a_compressed_tar_that_swells_without_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.sources import tarstream

    monkeypatch.setattr(tarstream, "_FREE_BYTES", 1 << 20)
    path = write_archive(tmp_path / "a.tar.gz", {"z.jpg": b"\x00" * (30 << 20), "b.jpg": b"b"})
    with open_source(path, limits=SourceLimits(max_bytes=1 << 20)) as source:
        assert "swells" in problems(source)[0].reason


def test_an_archive_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    for ending in (".zip", ".tar"):
        path = write_archive(tmp_path / f"a{ending}", {"a.jpg": noise(100)})
        with open_source(path) as source:
            item = items(source)[0]
            os.utime(path, ns=(1, 1))
            with pytest.raises(UnreadableSource, match="changed while being read"):
                source.read(item)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_a_webdataset_shards_sidecars_become_fields(tmp_path: Path, ending: str) -> None:
    members = {
        "0001.jpg": b"one",
        "0001.txt": "A dög on a beach\nA wet dog\n".encode(),
        "0001.cls": b"207\n",
        "0001.json": b'{"width": 640, "licence": "cc0", "tags": ["a"], "x": null, "ok": true}',
        "0002.json": b'{"score": 0.5}',
        "0002.seg.png": b"two",
        "0002.jpg": b"two",
        "0003.jpg": b"three",
        "sub/0003.txt": b"not its caption",
        "0004.txt": b"a caption of nothing",
        "0005.jpg": b"five",
        "0005.json": b"{broken",
        "0005.cls": b"tabby cat",
    }
    with open_source(write_archive(tmp_path / f"shard-000{ending}", members)) as source:
        fields = {item.path.rpartition("/")[2]: dict(item.fields) for item in items(source)}
        assert fields == {
            "0001.jpg": {
                "caption": "A dög on a beach\nA wet dog",
                "cls": 207.0,
                "width": 640.0,
                "licence": "cc0",
                "tags": '["a"]',
                "ok": "true",
            },
            "0002.seg.png": {"score": 0.5},
            "0002.jpg": {"score": 0.5},
            "0003.jpg": {},
            "0005.jpg": {"cls": "tabby cat"},
        }
        for item in items(source):
            assert source.read(item)


def test_an_archive_is_told_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"a.jpg": b"a"})
    renamed = path.rename(tmp_path / "photos.cbz")
    with open_source(renamed) as source:
        assert len(items(source)) == 1
    fake = tmp_path / "picture.zip"
    fake.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert [item.path for item in items(open_source(fake))] == [str(fake)]
