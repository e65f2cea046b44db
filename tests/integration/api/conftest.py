"""The app over a real catalog and index, with an encoder of colours.

`client` is shared by a module's tests, which leave what they find as it is; `own_client` is for
those that change something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from api.app import create_app
from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.settings import load_settings
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime


@contextmanager
def open_runtime(folder: Path, **settings: object) -> Iterator[FakeRuntime]:
    """Twelve drawn pictures of `folder/pictures` in the collection `default`."""
    write_pictures(folder / "pictures")
    options = {"decode_workers": 1, "max_body": 2**20, **settings}
    with FakeRuntime(load_settings(home=folder / "home", **options)) as runtime:
        request = IndexRequest("default", sources=[str(folder / "pictures")])
        Indexer(runtime).index(request, Progress(), threading.Event())
        yield runtime


@contextmanager
def open_client(runtime: FakeRuntime, **options: object) -> Iterator[TestClient]:
    """Talks to an app over the runtime, warmed up; a 500 is an answer and no exception."""
    app = create_app(runtime, **options)  # type: ignore[arg-type]
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.portal is not None
        client.portal.call(app.state.service.wait_until_ready)
        yield client


@contextmanager
def open_server(runtime: FakeRuntime, **options: object) -> Iterator[str]:
    """The URL of an app that listens on a free port, warmed up."""
    app = create_app(runtime, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        while app.state.service.trouble is not None:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def ids_of(client: TestClient) -> list[int]:
    """Of the pictures, in the order in which they were drawn."""
    found = client.get("/v1/collections/default/images").json()["images"]
    return [row["id"] for row in sorted(found, key=lambda row: row["path"].rpartition("/")[2])]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def client(shared_folder: Path) -> Iterator[TestClient]:
    with open_runtime(shared_folder) as runtime, open_client(runtime) as opened:
        yield opened


@pytest.fixture(scope="module")
def image_ids(client: TestClient) -> list[int]:
    return ids_of(client)


@pytest.fixture(scope="module")
def pictures(client: TestClient, shared_folder: Path) -> Path:
    """The folder of what `client` has indexed."""
    return shared_folder / "pictures"


@pytest.fixture
def own_runtime(tmp_path: Path) -> Iterator[FakeRuntime]:
    with open_runtime(tmp_path) as runtime:
        yield runtime


@pytest.fixture
def own_client(own_runtime: FakeRuntime) -> Iterator[TestClient]:
    with open_client(own_runtime) as opened:
        yield opened


@pytest.fixture
def own_image_ids(own_client: TestClient) -> list[int]:
    return ids_of(own_client)


@pytest.fixture
def own_pictures(own_client: TestClient, tmp_path: Path) -> Path:
    return tmp_path / "pictures"
