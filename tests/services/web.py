"""A web server of one folder, as nginx or as Python shows it, that can be told to misbehave."""

from __future__ import annotations

import hashlib
import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


@dataclass
class WebFolder:
    """seen: (method, path) of every request. busy: how often a path is answered 503 first.

    dates: whether listings show date and size; ranges: whether parts of files are given.
    """

    root: Path
    url: str = ""
    dates: bool = True
    ranges: bool = True
    seen: list[tuple[str, str]] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)
    extra: str = ""

    def fetched(self) -> list[str]:
        """Paths of the files that were sent."""
        return [path for method, path in self.seen if method == "GET" and not path.endswith("/")]


@contextmanager
def serve_folder(root: Path) -> Iterator[WebFolder]:
    """The folder on a free port of this machine, until the block ends."""
    folder = WebFolder(root)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.respond(body=True)

        def do_HEAD(self) -> None:
            self.respond(body=False)

        def respond(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            folder.seen.append((self.command, path))
            if folder.busy.get(path, 0) > 0:
                folder.busy[path] -= 1
                self.send(503, b"busy", body, {"Retry-After": "0"})
                return
            target = root / path.lstrip("/")
            if target.is_dir() and path.endswith("/"):
                self.send(200, self.listing(target), body, {"Content-Type": "text/html"})
            elif target.is_file():
                self.file(target, body=body)
            else:
                self.send(404, b"no", body, {})

        def listing(self, target: Path) -> bytes:
            lines = ['<a href="../">../</a>', '<a href="?C=M;O=A">Last modified</a>', folder.extra]
            for path in sorted(target.iterdir()):
                name = path.name + ("/" if path.is_dir() else "")
                facts = path.stat()
                date = datetime.fromtimestamp(facts.st_mtime, UTC).strftime("%d-%b-%Y %H:%M")
                size = "-" if path.is_dir() else facts.st_size
                line = f'<a href="{quote(name)}">{html.escape(name)}</a>'
                lines.append(f"{line}   {date}   {size}" if folder.dates else line)
            return ("<html><body><pre>" + "\n".join(lines) + "</pre></body></html>").encode()

        def file(self, target: Path, *, body: bool) -> None:
            data, facts = target.read_bytes(), target.stat()
            headers = {
                "Last-Modified": format_datetime(
                    datetime.fromtimestamp(int(facts.st_mtime), UTC), usegmt=True
                ),
                "ETag": f'"{hashlib.md5(data).hexdigest()}"',
            }
            wanted = self.headers.get("Range", "")
            if wanted.startswith("bytes=") and folder.ranges:
                first, _, last = wanted[6:].partition("-")
                data = data[int(first) : int(last) + 1]
                self.send(206, data, body, headers)
            else:
                self.send(200, data, body, headers)

        def send(self, status: int, data: bytes, body: bool, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        folder.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join()
