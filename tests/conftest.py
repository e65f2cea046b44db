"""Fixtures that every tier may use: data to look at, a PostgreSQL of our own, an empty home."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.pictures import write_pictures
from tests.services.postgres import PostgresServer, find_binaries

# Before anything imports gRPC: its fork handlers break the servers that tests start.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the test data that is not committed; skips where it is absent."""
    folder = Path(os.environ.get("LIKENESS_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set LIKENESS_TEST_DATA to its folder")
    return folder


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test sees the user's settings or home, and none reaches a model hub by accident."""
    for name in list(os.environ):
        if name.startswith("LIKENESS_") and not name.startswith("LIKENESS_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LIKENESS_HOME", str(tmp_path_factory.getbasetemp() / "no-home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folder `pictures` with 12 small drawn images in three formats, two of them in `more/`."""
    folder = tmp_path / "pictures"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test process: own directory, free port, gone afterwards."""
    binaries = find_binaries()
    if binaries is None:
        reason = "PostgreSQL's initdb and postgres are not installed (Debian: postgresql)"
        if os.environ.get("LIKENESS_TEST_SERVICES") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database that only this test uses."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
