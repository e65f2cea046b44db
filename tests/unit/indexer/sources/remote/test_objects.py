"""Buckets as sources: fsspec's memory for what every store has in common, a local S3 for real."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from indexer.sources.remote import objects
from indexer.sources.remote.opening import expand
from indexer.sources.uris import object_uri, split_object_uri
from likeness.errors import ImageTooLarge, SourceError, UnreadableSource
from tests.services.gcs import local_gcs
from tests.services.s3 import local_s3
from tests.unit.indexer.sources.remote.test_listings import shard

LIMITS = SourceLimits(url_timeout_s=20.0)
FILES = {
    "photos/a.jpg": b"a",
    "photos/b c#1!.jpg": b"bc",
    "photos/sub/größe.png": b"size",
    "photos/sub/notes.txt": b"no image",
    "photos/x.zip": b"PK",
    "photosets/other.jpg": b"not below photos/",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, local_s3(patch) as client:
        client.create_bucket(Bucket="bucket")
        yield client


@pytest.fixture(scope="module")
def gs() -> Iterator[Any]:
    import fsspec

    with pytest.MonkeyPatch.context() as patch, local_gcs(patch):
        files = fsspec.filesystem("gs", use_listings_cache=False)
        files.mkdir("bucket")
        yield files


@pytest.fixture(params=["memory", "s3", "gs"])
def scheme(request: pytest.FixtureRequest) -> Iterator[str]:
    """A store whose bucket `bucket` holds FILES."""
    if request.param == "memory":
        fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
        files = fsspec.filesystem("memory")
        for name, data in FILES.items():
            files.pipe_file(f"/bucket/{name}", data)
        yield "memory"
        files.rm("/bucket", recursive=True)
        return
    if request.param == "gs":
        bucket = request.getfixturevalue("gs")
        for name, data in FILES.items():
            bucket.pipe_file(f"bucket/{name}", data)
        yield "gs"
        bucket.rm(bucket.find("bucket"))
        return
    client = request.getfixturevalue("s3")
    for name, data in FILES.items():
        client.put_object(Bucket="bucket", Key=name, Body=data)
    client.put_object(Bucket="bucket", Key="photos/sub/", Body=b"")  # as consoles make folders
    yield "s3"
    for found in client.list_objects_v2(Bucket="bucket").get("Contents", ()):
        client.delete_object(Bucket="bucket", Key=found["Key"])


def put(scheme: str, request: pytest.FixtureRequest, name: str, data: bytes | None) -> None:
    """Write an object, or remove it."""
    if scheme == "memory":
        import fsspec

        files = fsspec.filesystem("memory")
        files.rm(f"/bucket/{name}") if data is None else files.pipe_file(f"/bucket/{name}", data)
        return
    if scheme == "gs":
        files = request.getfixturevalue("gs")
        files.rm_file(f"bucket/{name}") if data is None else files.pipe_file(f"bucket/{name}", data)
        return
    client = request.getfixturevalue("s3")
    if data is None:
        client.delete_object(Bucket="bucket", Key=name)
    else:
        client.put_object(Bucket="bucket", Key=name, Body=data)


def items(source: Source) -> list[SourceItem]:
    return [found for found in source.scan() if isinstance(found, SourceItem)]


@pytest.mark.parametrize("spelling", ["photos/", "photos"])
def test_a_prefix_offers_the_images_below_it(scheme: str, spelling: str) -> None:
    with open_source(f"{scheme}://bucket/{spelling}", limits=LIMITS) as source:
        found = list(source.scan())
        images = [one for one in found if isinstance(one, SourceItem)]
        assert {item.path: item.size for item in images} == {
            f"{scheme}://bucket/photos/a.jpg": 1,
            f"{scheme}://bucket/photos/b c#1!.jpg": 2,
            f"{scheme}://bucket/photos/sub/größe.png": 4,
        }
        skipped = [one for one in found if isinstance(one, SourceProblem)]
        assert [one.kind for one in skipped] == [ProblemKind.SKIPPED]  # the archive
        assert all(item.uri.isascii() for item in images)
        assert source.root == f"{scheme}://bucket/photos/"
        assert all(item.uri.startswith(source.root) for item in images)
        for item in images:
            assert source.read(item) == FILES[item.path.partition("bucket/")[2]]
            assert read_uri(item.uri, limits=LIMITS) == source.read(item)


def test_a_list_may_name_objects(scheme: str, tmp_path: Path) -> None:
    entries = [f"{scheme}://bucket/photos/{name}" for name in ("b c#1!.jpg", "gone.jpg")]
    (tmp_path / "list.txt").write_text("\n".join(entries))
    with open_list(tmp_path / "list.txt", limits=LIMITS) as source:
        there, gone = items(source)
        assert there.path == entries[0]
        assert there.uri.isascii()
        assert source.read(there) == b"bc"
        with pytest.raises(UnreadableSource, match="no such object"):
            source.read(gone)


def test_what_vanished_is_known_to_be_gone_and_what_is_left_out_is_not(
    scheme: str, request: pytest.FixtureRequest
) -> None:
    put(scheme, request, "photos/a.jpg", None)
    with open_source(f"{scheme}://bucket/photos/", exclude=["sub"], limits=LIMITS) as source:
        assert [item.path.rpartition("/")[2] for item in items(source)] == ["b c#1!.jpg"]
        assert not source.exists(f"{scheme}://bucket/photos/a.jpg")
        assert source.exists(object_uri(scheme, "bucket", "photos/sub/größe.png"))


def test_the_same_size_in_the_same_second_is_told_apart_by_the_etag(
    request: pytest.FixtureRequest, s3: Any
) -> None:
    versions = []
    for content in (b"aaaa", b"bbbb", b"aaaa"):
        s3.put_object(Bucket="bucket", Key="etag/a.jpg", Body=content)
        with open_source("s3://bucket/etag/", limits=LIMITS) as source:
            (item,) = items(source)
        assert item.mtime_ns is not None
        versions.append(item.mtime_ns % 1_000_000_000)
    assert versions[0] == versions[2] != versions[1]


def test_one_object_may_be_named_by_itself(scheme: str) -> None:
    with open_source(f"{scheme}://bucket/photos/a.jpg", limits=LIMITS) as source:
        (item,) = items(source)
        assert (item.size, source.root, source.read(item)) == (1, None, b"a")


def test_an_object_above_the_limit_is_not_fetched(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object) -> bytes:
        raise AssertionError("it was fetched")

    limits = replace(LIMITS, max_bytes=3)
    with open_source(f"{scheme}://bucket/photos/", limits=limits) as source:
        big = next(item for item in items(source) if item.size == 4)
        monkeypatch.setattr(objects.ObjectStore, "read_range", fetched)
        with pytest.raises(ImageTooLarge, match="LIKENESS_MAX_BYTES"):
            source.read(big)
        with pytest.raises(ImageTooLarge):
            read_uri(big.uri, limits=limits)


def test_an_object_that_changed_or_left_since_the_listing_is_an_error_of_its_own(
    scheme: str, request: pytest.FixtureRequest
) -> None:
    with open_source(f"{scheme}://bucket/photos/", limits=LIMITS) as source:
        found = {item.path.rpartition("/")[2]: item for item in items(source)}
        put(scheme, request, "photos/a.jpg", b"grown meanwhile")
        with pytest.raises(UnreadableSource, match="changed"):
            source.read(found["a.jpg"])
        put(scheme, request, "photos/a.jpg", None)
        with pytest.raises(UnreadableSource, match="no such object"):
            source.read(found["a.jpg"])


def test_shards_are_named_by_patterns_and_read_as_streams(
    scheme: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for number in range(3):
        put(scheme, request, f"shards/train-{number}.tar", shard(5 + number))
    limits = replace(LIMITS, listings=tmp_path)
    named = expand(f"{scheme}://bucket/shards/*.tar", limits)
    assert named == [f"{scheme}://bucket/shards/train-{number}.tar" for number in range(3)]
    assert expand(f"{scheme}://bucket/shards/train-{{0..2}}.tar", limits) == named
    uris = []
    for number, spec in enumerate(named):
        with open_source(spec, limits=limits) as source:
            found = items(source)
            assert len(found) == 5 + number
            assert all(source.read(item).endswith(b"%d" % n) for n, item in enumerate(found))
            uris.append(found[2].uri)
    with UriReader(limits) as reader:
        assert all(reader.read(uri).endswith(b"2") for uri in uris)
    with pytest.raises(SourceError, match="nothing matches"):
        expand(f"{scheme}://bucket/none-*.tar", limits)


def test_a_listing_that_breaks_off_is_asked_again_then_reported_and_nothing_is_declared_gone(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.sources.patience._FIRST_PAUSE_S", 0.001)
    with open_source(f"{scheme}://bucket/photos/", limits=replace(LIMITS, retries=2)) as source:
        files = source._store._files  # type: ignore[attr-defined]
        asked = []

        def broken(*_: object, **__: object) -> None:
            asked.append(1)
            raise OSError("connection reset")

        monkeypatch.setattr(files, "call_s3" if scheme == "s3" else "ls", broken, raising=False)
        (problem,) = list(source.scan())
        assert isinstance(problem, SourceProblem)
        assert (problem.kind, problem.prefix) == (ProblemKind.UNREADABLE, source.root)
        assert "connection reset" in problem.reason
        assert len(asked) == 3
        assert source.exists(f"{scheme}://bucket/photos/whatever.jpg")


def test_a_bucket_of_more_than_a_page_is_listed_whole(s3: Any, monkeypatch: Any) -> None:
    for number in range(7):
        s3.put_object(Bucket="bucket", Key=f"many/{number}.jpg", Body=b"x")
    real = objects.ObjectStore._pages_of_s3

    with open_source("s3://bucket/many/", limits=LIMITS) as source:
        files = source._store._files  # type: ignore[attr-defined]
        call = files.call_s3
        monkeypatch.setattr(files, "call_s3", lambda name, **more: call(name, MaxKeys=3, **more))
        assert real is objects.ObjectStore._pages_of_s3
        assert [item.path[-5:] for item in items(source)] == [f"{n}.jpg" for n in range(7)]


def test_missing_credentials_are_named_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("HOME", "/nonexistent")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with (
            pytest.raises(SourceError, match="AWS_ACCESS_KEY_ID"),
            open_source("s3://bucket/photos/", limits=LIMITS) as source,
        ):
            list(source.scan())
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match=r"pip install 'likeness\[remote\]'"):
        open_source("gs://bucket/photos/", limits=LIMITS)


@pytest.mark.parametrize("spec", ["s3://", "s3:///key"])
def test_a_store_without_a_bucket_is_refused(spec: str) -> None:
    with pytest.raises(SourceError, match="no bucket"):
        open_source(spec, limits=LIMITS)


def test_uris_of_objects_come_back_as_they_were() -> None:
    for key in ("a b.jpg", "größe!/x#?%.png", "", "deep/er/"):
        assert split_object_uri(object_uri("s3", "bucket", key)) == ("s3", "bucket", key)
    assert split_object_uri("file:///a") is None
