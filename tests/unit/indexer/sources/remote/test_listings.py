"""Web servers as sources: their listings, files behind them, archives, and how they fail."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from indexer.sources import (
    ProblemKind,
    Source,
    SourceItem,
    SourceLimits,
    SourceProblem,
    UriReader,
    open_list,
    open_source,
    read_uri,
)
from indexer.sources.remote.opening import expand
from likeness.errors import ImageTooLarge, SourceError, UnreadableSource
from tests.services.web import WebFolder, serve_folder

LIMITS = SourceLimits(url_timeout_s=5.0)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebFolder]:
    """A served folder with four images, one of them below a folder, and other files."""
    root = tmp_path / "www"
    for name in ("a.jpg", "b c.jpg", "sub/größe.png", "sub/deep/d.webp", "notes.txt", ".hid.jpg"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    with serve_folder(root) as folder:
        yield folder


def items(source: Source) -> list[SourceItem]:
    return [found for found in source.scan() if isinstance(found, SourceItem)]


def test_a_listing_offers_the_images_below_it(web: WebFolder) -> None:
    with open_source(f"{web.url}/", limits=LIMITS) as source:
        found = items(source)
        assert [item.uri for item in found] == [
            f"{web.url}/a.jpg",
            f"{web.url}/b%20c.jpg",
            f"{web.url}/sub/gr%C3%B6%C3%9Fe.png",
            f"{web.url}/sub/deep/d.webp",
        ]
        assert all(item.uri.isascii() for item in found)
        assert found[1].path == f"{web.url}/b c.jpg"
        assert found[0].size == len("a.jpg")
        assert source.root == f"{web.url}/"
        assert [source.read(item) for item in found[1:3]] == [b"b c.jpg", "sub/größe.png".encode()]
    assert web.fetched() == ["/b c.jpg", "/sub/größe.png"]  # listing fetched no image


def test_patterns_choose_within_a_listing_and_unwanted_folders_are_not_asked_for(
    web: WebFolder,
) -> None:
    with open_source(f"{web.url}/", exclude=["sub"], limits=LIMITS) as source:
        assert [item.path for item in items(source)] == [f"{web.url}/a.jpg", f"{web.url}/b c.jpg"]
    assert ("GET", "/sub/") not in web.seen


def test_only_what_lies_below_the_address_counts(web: WebFolder) -> None:
    web.extra = (
        '<a href="http://127.0.0.1:1/evil.jpg">x</a> <a href="/a.jpg">up</a> '
        '<a href="//elsewhere.example/e.jpg">y</a> <a href="javascript:alert(1)">z</a>'
    )
    with open_source(f"{web.url}/sub/", limits=LIMITS) as source:
        assert [item.uri for item in items(source)] == [
            f"{web.url}/sub/gr%C3%B6%C3%9Fe.png",
            f"{web.url}/sub/deep/d.webp",
        ]


@pytest.mark.parametrize("dates", [True, False])
def test_a_file_that_changed_has_another_size_or_version(web: WebFolder, *, dates: bool) -> None:
    web.dates = dates  # without them, the server is asked for each file's headers

    def facts() -> dict[str, tuple[int | None, int | None]]:
        with open_source(f"{web.url}/", limits=LIMITS) as source:
            return {
                item.path.rpartition("/")[2]: (item.size, item.mtime_ns) for item in items(source)
            }

    before = facts()
    assert facts() == before
    assert None not in before["a.jpg"]
    os.utime(web.root / "a.jpg", (1_000_000_000, 1_000_000_000))
    (web.root / "b c.jpg").write_bytes(b"other length")
    after = facts()
    assert {name for name in before if before[name] != after[name]} == {"a.jpg", "b c.jpg"}
    assert web.fetched() == []


def test_two_versions_of_one_second_and_size_are_told_apart_by_their_etag(web: WebFolder) -> None:
    web.dates = False
    for content in (b"12345", b"54321"):
        (web.root / "a.jpg").write_bytes(content)
        os.utime(web.root / "a.jpg", (1_000_000_000, 1_000_000_000))
        with open_source(f"{web.url}/", limits=LIMITS) as source:
            web.extra += f"<!-- {items(source)[0].mtime_ns} -->"
    first, second = (part.partition(" -->")[0] for part in web.extra.split("<!-- ")[1:])
    assert first != second
    assert first[:10] == second[:10] == "1000000000"


def test_a_listing_that_fails_vouches_for_nothing_below_it(web: WebFolder) -> None:
    web.busy["/sub/"] = 99
    with open_source(f"{web.url}/", limits=LIMITS) as source:
        found = list(source.scan())
        problem = next(one for one in found if isinstance(one, SourceProblem))
        assert problem.kind is ProblemKind.UNREADABLE
        assert source.unreadable == (f"{web.url}/sub/",)
        assert not source.exists(f"{web.url}/gone.jpg")
        assert source.exists(f"{web.url}/a.jpg")


def test_a_busy_server_is_asked_again(web: WebFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.sources.patience._FIRST_PAUSE_S", 0.001)
    web.busy |= {"/": 1, "/a.jpg": 2}
    with open_source(f"{web.url}/", limits=replace(LIMITS, retries=3)) as source:
        assert source.read(items(source)[0]) == b"a.jpg"
    assert web.fetched() == ["/a.jpg"] * 3


def test_an_image_above_the_limit_is_not_fetched(web: WebFolder) -> None:
    (web.root / "big.jpg").write_bytes(bytes(5000))
    with open_source(f"{web.url}/", limits=replace(LIMITS, max_bytes=4000)) as source:
        big = next(item for item in items(source) if item.size == 5000)
        with pytest.raises(ImageTooLarge):
            source.read(big)
    assert web.fetched() == []


def shard(count: int, *, mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:
        for number in range(count):
            for ending, content in (("jpg", os.urandom(2000) + b"%d" % number), ("txt", b"a cat")):
                info = tarfile.TarInfo(f"{number:05}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_a_shard_on_a_web_server_is_streamed_and_its_list_remembered(
    web: WebFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr("indexer.sources.remote.archives.PART_BYTES", 16 << 10)
    (web.root / f"s{ending}").write_bytes(shard(40, mode="w:gz" if ending.endswith("gz") else "w"))
    url, limits = f"{web.url}/s{ending}", replace(LIMITS, listings=tmp_path / "listings")
    with open_source(url, limits=limits) as source:
        found = []
        for item in source.scan():
            assert isinstance(item, SourceItem)
            assert source.read(item).endswith(b"%d" % len(found))
            found.append(item)
        assert len(found) == 40
        assert found[3].fields == {"caption": "a cat"}
        assert found[3].uri == f"tar+{url}!/00003.jpg"
        sequential = len(web.fetched())
    web.seen.clear()
    with open_source(url, include=["*7.jpg"], limits=limits) as source:
        assert [item.uri for item in items(source)] == [f.uri for f in found if "7.jpg" in f.uri]
        assert web.fetched() == [f"/s{ending}"]  # its first bytes, to tell how it is compressed
        assert source.read(found[33]).endswith(b"33")  # from its middle
    if ending == ".tar":
        assert len(web.fetched()) == 2
        assert sequential <= 3 + 40 * 3 * 1024 // (16 << 10)  # in parts, not by member
    with UriReader(replace(limits, allow_private=True)) as reader:
        assert reader.read(found[5].uri).endswith(b"5")
        assert reader.read(f"{web.url}/a.jpg") == b"a.jpg"
    # Another shard under the same name is another shard.
    (web.root / f"s{ending}").write_bytes(shard(3, mode="w:gz" if ending.endswith("gz") else "w"))
    with open_source(url, limits=limits) as source:
        assert len(items(source)) == 3


def test_a_shard_that_is_replaced_while_it_is_read_gives_no_wrong_image(
    web: WebFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.sources.remote.archives.ASK_EVERY_S", 0.0)
    (web.root / "s.tar").write_bytes(shard(10))
    with open_source(f"{web.url}/s.tar", limits=LIMITS) as source:
        found = items(source)
        assert source.read(found[0]).endswith(b"0")
        (web.root / "s.tar").write_bytes(shard(12))
        with pytest.raises(UnreadableSource, match="changed while being read"):
            source.read(found[1])


def test_a_zip_on_a_web_server_is_read_without_fetching_all_of_it(
    web: WebFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.sources.remote.archives.PART_BYTES", 4096)
    with zipfile.ZipFile(web.root / "p.zip", "w") as archive:
        for number in range(100):
            archive.writestr(f"{number}.jpg", os.urandom(10_000) + b"%d" % number)
    with open_source(f"{web.url}/p.zip", limits=LIMITS) as source:
        found = items(source)
        assert len(found) == 100
        assert source.read(found[42]).endswith(b"42")
    assert len(web.fetched()) < 20


def test_a_server_that_gives_no_parts_is_named(web: WebFolder) -> None:
    (web.root / "s.tar").write_bytes(shard(2))
    web.ranges = False
    with pytest.raises(SourceError, match="parts of files"):
        open_source(f"{web.url}/s.tar", limits=LIMITS)
    with pytest.raises(SourceError, match="no such archive"):
        open_source(f"{web.url}/gone.tar", limits=LIMITS)


def test_the_host_of_a_listing_may_be_private_and_its_redirects_may_not(web: WebFolder) -> None:
    with pytest.raises(UnreadableSource, match="this machine or its network"):
        read_uri(f"{web.url}/a.jpg", limits=LIMITS)  # from the catalog: nobody named it just now
    trusted = replace(LIMITS, trusted_hosts=frozenset({"127.0.0.1"}))
    assert read_uri(f"{web.url}/a.jpg", limits=trusted) == b"a.jpg"


def test_urls_of_a_list_are_fetched_at_the_rate_of_their_host(
    web: WebFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    (tmp_path / "list.txt").write_text("\n".join([f"{web.url}/a.jpg", f"{web.url}/b%20c.jpg"]))
    limits = replace(LIMITS, allow_private=True, web_rate=0.25)  # a rate that no other test uses
    from indexer.sources.patience import rates_of

    monkeypatch.setattr(rates_of("web", 0.25), "_sleep", slept.append)
    with open_list(tmp_path / "list.txt", limits=limits) as source:
        assert [source.read(item) for item in items(source)] == [b"a.jpg", b"b c.jpg"]
    assert len(slept) == 1
    assert slept[0] == pytest.approx(4.0, abs=0.5)


def test_braces_stand_for_many_and_local_names_are_left_alone() -> None:
    assert expand("https://x.org/{train,val}-{08..11}.tar", LIMITS) == [
        f"https://x.org/{part}-{number}.tar"
        for part in ("train", "val")
        for number in ("08", "09", "10", "11")
    ]
    assert expand("photos/{1..3}.tar", LIMITS) == ["photos/{1..3}.tar"]
    assert expand("s3://b/x-{9..11}.tar", LIMITS) == [f"s3://b/x-{n}.tar" for n in (9, 10, 11)]
