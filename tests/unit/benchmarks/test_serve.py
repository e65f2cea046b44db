"""The clients of the serving benchmark ask what they should, and count what they get."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serve_clients import image_requests, load, some_pictures, some_texts, text_requests
from tests.integration.api.conftest import open_runtime, open_server


@pytest.mark.slow
def test_clients_are_answered_and_counted(tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime, open_server(runtime) as url:
        port = int(url.rpartition(":")[2])
        for requests in (text_requests(some_texts(8)), image_requests(some_pictures(4))):
            figures = load(port, requests, clients=4, seconds=0.5, warm_up_s=0.2).figures()
            assert figures["requests_per_s"] > 1
            assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
        with pytest.raises(RuntimeError, match="404"):
            load(port, [b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], 1, 0.5)
