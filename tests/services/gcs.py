"""A local Google Cloud Storage (an emulator, in memory), with the environment that leads gcsfs to
it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.services.postgres import free_port


@contextmanager
def local_gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address; tests that use it skip where the emulator or gcsfs is not installed."""
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed"
    )
    gcsfs = pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    server = emulator.create_server("127.0.0.1", free_port(), in_memory=True)
    address = f"http://127.0.0.1:{server._api._port}"
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    gcsfs.GCSFileSystem.clear_instance_cache()
    try:
        yield address
    finally:
        gcsfs.GCSFileSystem.clear_instance_cache()
        server.stop()
