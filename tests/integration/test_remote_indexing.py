"""Indexing what lies elsewhere: fetched once, kept in step, gone on with after a cut."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.progress import Counts, Progress
from indexer.service import Indexer, IndexRequest
from likeness.settings import load_settings
from likeness.types import ImageState
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import draw_picture, write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.services.s3 import local_s3
from tests.services.web import WebFolder, serve_folder


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[FakeRuntime]:
    settings = load_settings(home=tmp_path / "home", decode_workers=1, commit_rows=5, web_rate=0)
    with FakeRuntime(settings, FakeEncoder(batch_size=4)) as opened:
        yield opened


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebFolder]:
    write_pictures(tmp_path / "www" / "photos")
    with serve_folder(tmp_path / "www") as folder:
        yield folder


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, local_s3(patch) as client:
        client.create_bucket(Bucket="photos")
        yield client


def index(
    runtime: FakeRuntime, *sources: str, stop: threading.Event | None = None, **options: Any
) -> Counts:
    request = IndexRequest("default", sources=sources, **options)
    return Indexer(runtime).index(request, Progress(), stop or threading.Event()).counts


def ready(runtime: FakeRuntime) -> set[str]:
    collection = runtime.catalog.collection("default")
    rows = runtime.catalog.list_images(collection.id, state=ImageState.READY, limit=1000)
    return {row.path.rpartition("/")[2] for row in rows}


def png(seed: int) -> bytes:
    data = io.BytesIO()
    draw_picture(seed).save(data, "PNG")
    return data.getvalue()


def test_a_web_listing_is_fetched_once_and_kept_in_step(
    runtime: FakeRuntime, web: WebFolder
) -> None:
    source = f"{web.url}/photos/"
    assert index(runtime, source).stored == 12
    assert len(web.fetched()) == 12
    web.seen.clear()
    assert index(runtime, source).kept == 12
    assert web.fetched() == []

    (web.root / "photos/picture000.jpg").unlink()
    draw_picture(77).save(web.root / "photos/picture001.png")
    draw_picture(78).save(web.root / "photos/new.png")
    counts = index(runtime, source)
    assert (counts.gone, counts.stored, counts.kept) == (1, 2, 10)
    assert sorted(web.fetched()) == ["/photos/new.png", "/photos/picture001.png"]
    assert "picture000.jpg" not in ready(runtime)


def test_a_folder_that_cannot_be_listed_keeps_its_images(
    runtime: FakeRuntime, web: WebFolder
) -> None:
    source = f"{web.url}/photos/"
    index(runtime, source)
    web.busy["/photos/more/"] = 100
    quick = runtime.settings.model_copy(update={"fetch_retries": 0})
    runtime.settings = quick
    counts = index(runtime, source)
    assert (counts.gone, counts.problems) == (0, 1)
    assert len(ready(runtime)) == 12


def test_a_bucket_is_kept_in_step_and_only_the_named_prefix_is(
    runtime: FakeRuntime, s3: Any
) -> None:
    for number in range(6):
        s3.put_object(Bucket="photos", Key=f"2019/{number}.png", Body=png(number))
        s3.put_object(Bucket="photos", Key=f"2019-copies/{number}.png", Body=png(100 + number))
    assert index(runtime, "s3://photos/2019/").stored == 6
    assert index(runtime, "s3://photos/2019-copies/").stored == 6
    assert index(runtime, "s3://photos/").kept == 12
    for number in range(6):
        s3.delete_object(Bucket="photos", Key=f"2019-copies/{number}.png")
    s3.delete_object(Bucket="photos", Key="2019/0.png")
    s3.put_object(Bucket="photos", Key="2019/1.png", Body=png(50))
    counts = index(runtime, "s3://photos/2019")
    assert (counts.gone, counts.stored, counts.kept) == (1, 1, 4)
    collection = runtime.catalog.collection("default")
    assert runtime.catalog.counts(collection.id).ready == 11  # the other prefix was not looked at
    assert index(runtime, "s3://photos/").gone == 6


def test_a_run_that_was_cut_short_goes_on_without_fetching_again(
    runtime: FakeRuntime, web: WebFolder
) -> None:
    source, stop = f"{web.url}/photos/", threading.Event()
    progress = Progress()
    commit = runtime.catalog.commit_batch

    def commit_then_stop(*arguments: Any) -> Any:
        result = commit(*arguments)
        stop.set()
        return result

    runtime.catalog.commit_batch = commit_then_stop  # type: ignore[method-assign]
    request = IndexRequest("default", sources=[source])
    report = Indexer(runtime).index(request, progress, stop)
    assert not report.complete or report.counts.stored == 12
    runtime.catalog.commit_batch = commit  # type: ignore[method-assign]
    had = ready(runtime)
    web.seen.clear()
    counts = index(runtime, source)
    assert counts.kept == len(had)
    assert {path.rpartition("/")[2] for path in web.fetched()}.isdisjoint(had)
    assert len(ready(runtime)) == 12


def test_shards_in_a_bucket_bring_their_captions(runtime: FakeRuntime, s3: Any) -> None:
    for number in range(2):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for sample in range(3):
                seed = 10 * number + sample
                for ending, content in (("png", png(seed)), ("txt", f"picture {seed}".encode())):
                    info = tarfile.TarInfo(f"{sample}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        s3.put_object(Bucket="photos", Key=f"shards/{number:04}.tar", Body=data.getvalue())
    assert index(runtime, "s3://photos/shards/{0000..0001}.tar").stored == 6
    collection = runtime.catalog.collection("default")
    rows = runtime.catalog.list_images(collection.id)
    assert {row.fields["caption"] for row in rows} == {
        f"picture {seed}" for seed in (0, 1, 2, 10, 11, 12)
    }
    assert index(runtime, "s3://photos/shards/*.tar").kept == 6


def test_a_parquet_list_of_urls_is_fetched_once_with_its_columns(
    runtime: FakeRuntime, web: WebFolder, tmp_path: Path
) -> None:
    urls = [f"{web.url}/photos/picture{n:03}.{('jpg', 'png', 'webp')[n % 3]}" for n in range(5)]
    urls.append(f"{web.url}/photos/gone.jpg")
    table = pa.table({"url": urls, "likes": list(range(6)), "title": [f"No {n}" for n in range(6)]})
    pq.write_table(table, tmp_path / "list.parquet")
    runtime.settings = runtime.settings.model_copy(update={"allow_private_urls": True})
    counts = index(runtime, lists=[tmp_path / "list.parquet"])
    assert (counts.stored, counts.failed) == (5, 1)
    web.seen.clear()
    index(runtime, lists=[tmp_path / "list.parquet"])
    assert web.fetched() == ["/photos/gone.jpg"]  # what could not be read is tried again
    collection = runtime.catalog.collection("default")
    rows = runtime.catalog.list_images(collection.id, state=ImageState.READY)
    assert [row.fields["likes"] for row in rows] == [0, 1, 2, 3, 4]


def test_urls_in_a_list_may_not_lead_into_the_own_network(
    runtime: FakeRuntime, web: WebFolder, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text(f"{web.url}/photos/picture000.jpg\n")
    assert index(runtime, lists=[tmp_path / "list.txt"]).failed == 1
    assert web.seen == []
