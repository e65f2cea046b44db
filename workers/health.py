"""How a worker is, for whoever watches it: in a file, over HTTP, or both."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from likeness.errors import SettingsError

STALE_S = 30.0
"""A worker that has not said for so long how it is, is not healthy."""


@dataclass(frozen=True, slots=True)
class Health:
    """healthy: it works, or there is nothing to do. idle_s: since something got done last, None
    before the first time. waiting: ready pieces in its queues. trouble: what is wrong, if anything
    is. at: seconds since 1970 when this was found.
    """

    healthy: bool
    idle_s: float | None
    waiting: int | None
    restarts: int
    trouble: str | None
    at: float


@contextmanager
def published(file: Path | None, port: int | None) -> Iterator[Callable[[Health], None]]:
    """What is given to the function is there to be read, until the block ends.

    port: `GET /healthz` answers 200 or 503 with the same JSON, on every address.
    Raises SettingsError when the port is taken.
    """
    latest: list[Health] = []
    server: http.server.ThreadingHTTPServer | None = None
    if port is not None:
        server = _serve(port, latest)

    def publish(health: Health) -> None:
        latest[:] = [health]
        if file is not None:
            _write(file, json.dumps(asdict(health)))

    try:
        yield publish
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()
        if file is not None:
            file.unlink(missing_ok=True)


def read(file: Path) -> tuple[bool, dict[str, Any]]:
    """Whether the worker that writes this file is healthy, and what it said last."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        age_s = time.time() - found["at"]
    except (OSError, ValueError, LookupError, TypeError):
        return False, {"healthy": False, "trouble": f"{file} cannot be read: no worker runs"}
    if abs(age_s) > STALE_S:
        return False, {**found, "healthy": False, "trouble": f"silent for {age_s:.0f} s"}
    return bool(found["healthy"]), found


def _write(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def _serve(port: int, latest: list[Health]) -> http.server.ThreadingHTTPServer:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            health = latest[0] if latest else None
            fresh = health is not None and abs(time.time() - health.at) <= STALE_S
            known = self.path == "/healthz"
            ok = known and fresh and health is not None and health.healthy
            body = json.dumps(asdict(health) if health and known else {"healthy": False}).encode()
            self.send_response(200 if ok else 503 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: it is asked every few seconds."""

    try:
        server = http.server.ThreadingHTTPServer(("", port), Answer)
    except OSError as error:
        raise SettingsError(f"--health-port {port}: {error.strerror}; choose another") from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
