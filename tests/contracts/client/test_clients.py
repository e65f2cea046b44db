"""What a client promises, asked of both: in this process, and through a service."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likeness
from likeness.catalog.serving.keys import ApiKeys, Scope
from likeness.client.interface import Client
from likeness.client.local import LocalClient
from likeness.errors import LikenessError, QueryError, ServiceError
from tests.fakes.pictures import draw_pixels
from tests.integration.api.conftest import open_runtime, open_server


@pytest.fixture(scope="module", params=["local", "remote"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A client and the folder of the twelve pictures that its collection holds."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as opened:
        yield opened.enter_context(_client(request.param, folder, opened)), folder / "pictures"


@pytest.fixture(params=["local", "remote"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """A client to change things with."""
    with ExitStack() as opened:
        yield opened.enter_context(_client(request.param, tmp_path, opened))


def _client(kind: str, folder: Path, opened: ExitStack) -> Client:
    runtime = opened.enter_context(open_runtime(folder, max_body=2**26))
    if kind == "local":
        return LocalClient(runtime, "default")
    client: Client = likeness.connect(opened.enter_context(open_server(runtime)))
    return client


def test_a_check_knows_what_is_there(shared: tuple[Client, Path]) -> None:
    client, folder = shared
    path = files_of(folder)[3]
    same, new = client.check([path, draw_pixels(321)], least="same-pixels")
    assert (same.name, same.known) == (path.name, True)
    assert (same.matches[0].relation, Path(same.matches[0].image.path).name) == (
        "same-bytes",
        path.name,
    )
    assert new.known is False
    (alone,) = client.check(path.read_bytes(), least="same-bytes")
    assert alone.known
    with pytest.raises(LikenessError, match="least"):
        client.check(path, least="related")


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("picture*"), key=lambda path: path.name)


def test_a_picture_finds_itself_however_it_is_given(shared: tuple[Client, Path]) -> None:
    client, folder = shared
    for path in files_of(folder)[:2]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for given in (path, str(path), path.read_bytes(), pixels, Image.open(path)):
            found = client.search(image=given, k=3)
            assert len(found) == 3
            assert Path(found[0].image.path).name == path.name
            assert found[0].score > 0.99


def test_words_ids_and_negatives_go_together(shared: tuple[Client, Path]) -> None:
    client, _ = shared
    words = client.search("blue", k=5)
    assert [hit.rank for hit in words] == [1, 2, 3, 4, 5]
    assert words.answer.searched == 12
    first = words.ids[0]
    mixed = client.search(["blue", "green"], image_id=first, without="red", k=12)
    assert first not in mixed.ids
    assert len(mixed) == 11
    next_page = client.search("blue", k=5, after=words.next_cursor)
    assert words.ids + next_page.ids == client.search("blue", k=10).ids
    png = client.search("blue", where="format:png", rerank="qe,mmr")
    assert {hit.image.format for hit in png} == {"png"}
    assert png.answer.rerank == ["qe", "mmr"]


def test_results_show_themselves_in_a_notebook(shared: tuple[Client, Path]) -> None:
    client, folder = shared
    found = client.search("blue <script>", image=files_of(folder)[0], without="red", k=4)
    assert Image.open(io.BytesIO(found._repr_png_())).format == "PNG"
    page = found._repr_html_()
    assert page.count("<img src=") == 4
    assert "<script>" not in page
    assert "picture" in repr(found)


def test_images_are_listed_page_by_page(shared: tuple[Client, Path]) -> None:
    client, folder = shared
    listed = list(client.images())
    assert {Path(image.path) for image in listed} == set(files_of(folder))
    assert [image.id for image in listed] == sorted(image.id for image in listed)
    assert len(list(client.images(limit=5))) == 5
    assert len(list(client.images(where="format:webp"))) == 4
    assert list(itertools.islice(client.images(state="gone"), 3)) == []


def test_an_explanation_is_data_and_a_picture(shared: tuple[Client, Path]) -> None:
    client, folder = shared
    first, second = [image.id for image in client.images(limit=2)]
    for found in (
        client.explain(first, query_id=second),
        client.explain(first, image=files_of(folder)[3]),
    ):
        assert found.explanation.id == first
        assert found.explanation.encoder == "fake:colours"
        assert Image.open(io.BytesIO(found._repr_png_())).height == 400


def test_what_cannot_be_done_is_a_likeness_error(shared: tuple[Client, Path]) -> None:
    client, folder = shared
    for wrong in (
        lambda: client.search(),
        lambda: client.search("red", where="widht:3"),
        lambda: client.search("red", collection="none"),
        lambda: client.search(image=b"no image"),
        lambda: client.search(image=folder / "missing.jpg"),
        lambda: client.search(image=np.zeros((3, 3), np.float32)),
        lambda: client.search("red", speed=3),
        lambda: client.search(image_id=10**9),
        lambda: client.explain(1),
        lambda: client.remove(),
        lambda: client.remove(10**9),
        lambda: list(client.images(where="(")),
        lambda: client.add(folder / "missing"),
    ):
        with pytest.raises(LikenessError):
            wrong()


def test_added_images_are_found_and_removed_ones_are_not(own: Client, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    for seed in (50, 51):
        Image.fromarray(draw_pixels(seed)).save(folder / f"new{seed}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    buffer = io.BytesIO()
    Image.fromarray(draw_pixels(52)).save(buffer, "PNG")
    done = own.add([folder, buffer.getvalue(), b"no image"])
    assert (done.added, done.known, done.failed) == (3, 0, 2)
    assert {code for _, code, _ in done.problems} == {"corrupt", "unsupported_format"}
    again = own.add(buffer.getvalue())
    assert (again.added, again.known, again.failed) == (0, 1, 0)
    found = own.search(image=draw_pixels(51), k=1)
    assert found[0].score > 0.99
    assert own.remove(found.ids) == 1
    assert own.remove(found.ids) == 0
    assert own.search(image=draw_pixels(51), k=1).ids != found.ids
    assert own.remove(where="format:webp") == 4
    assert own.add(folder / "new50.png", collection="other").added == 1
    assert len(own.search("red", collection="other")) == 1


def test_keys_and_absent_services_are_told_apart(tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime:
        _, key = ApiKeys(runtime.catalog).create("tests", Scope.READ)
        with open_server(runtime) as url:
            with likeness.connect(url) as closed, pytest.raises(ServiceError) as refused:
                closed.search("red")
            assert (refused.value.status, refused.value.code) == (401, "key_needed")
            with likeness.connect(url, api_key=key) as client:
                assert len(client.search("red", k=3)) == 3
                with pytest.raises(ServiceError, match="403 scope_needed"):
                    client.add(tmp_path / "pictures")
    with likeness.connect(url) as gone, pytest.raises(ServiceError) as unreachable:
        gone.search("red")
    assert (unreachable.value.status, unreachable.value.code) == (0, "unreachable")


def test_open_takes_a_home_and_settings(tmp_path: Path) -> None:
    with likeness.open(tmp_path / "home", max_k=7, collection="mine") as client:
        assert client.collection == "mine"
        with pytest.raises(LikenessError, match="no collection 'mine'"):
            client.search("red")
    with pytest.raises(AttributeError):
        likeness.nothing  # noqa: B018
    with likeness.open(tmp_path / "home") as client, pytest.raises(QueryError):
        client.search("red", magic=True)
