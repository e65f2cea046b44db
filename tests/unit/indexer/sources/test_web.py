from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from indexer.sources import SourceItem, SourceLimits, open_list, open_source
from indexer.sources.web import WebReader, is_public
from likeness.errors import ImageError, ImageTooLarge, UnreadableSource

OPEN = SourceLimits(max_bytes=10_000, url_timeout_s=2.0, max_redirects=3, allow_private=True)


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        type(self).seen.append((self.path, self.headers["Host"]))
        name, _, rest = self.path.lstrip("/").partition("/")
        if name == "redirect":
            count = int(rest)
            self.answer(302, b"", Location=f"/redirect/{count - 1}" if count else "/image")
        elif name == "leads":
            self.answer(301, b"", Location=rest)
        elif name == "image":
            self.answer(200, b"pixels")
        elif name == "large":
            self.answer(200, b"x" * 20_000)
        elif name == "endless":
            self.send_response(200)
            self.end_headers()
            self.pour(b"x" * 4096, 0)
        elif name == "slow":
            self.send_response(200)
            self.end_headers()
            self.pour(b"x", 0.05)
        elif name == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self.pour(b"x", 0.05)
        elif name == "gzip":
            self.answer(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
        elif name == "short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")
        else:
            self.answer(404, b"no")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pour(self, part: bytes, pause_s: float) -> None:
        try:
            while True:
                self.wfile.write(part)
                time.sleep(pause_s)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a server on this machine; its `Handler.seen` starts empty."""
    Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def reader() -> Iterator[WebReader]:
    reading = WebReader(OPEN)
    yield reading
    reading.close()


def test_an_image_is_fetched_and_redirects_are_followed(server: str, reader: WebReader) -> None:
    assert reader.read(f"{server}/image") == b"pixels"
    assert reader.read(f"{server}/redirect/2") == b"pixels"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("redirect/3", "more than 3 redirects"),
        ("missing", "answered 404"),
        ("slow", "took longer than 2 s"),
        ("drip", "took longer than 2 s"),
        ("gzip", "compresses"),
        ("short", "cannot be fetched"),
        ("leads/file:///etc/passwd", "only http"),
        ("leads/ftp://x.org/a", "only http"),
        ("leads/http://user:word@x.org/", "password"),
    ],
)
def test_what_cannot_be_had_says_why(server: str, reader: WebReader, path: str, said: str) -> None:
    with pytest.raises(UnreadableSource, match=said):
        reader.read(f"{server}/{path}")


@pytest.mark.parametrize("path", ["large", "endless"])
def test_a_body_over_the_limit_is_refused_declared_or_counted(
    server: str, reader: WebReader, path: str
) -> None:
    with pytest.raises(ImageTooLarge):
        reader.read(f"{server}/{path}")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x.org/a", "http://", "http://[", "http://u:p@x.org/a"]
)
def test_other_schemes_and_passwords_are_refused(reader: WebReader, url: str) -> None:
    with pytest.raises(UnreadableSource):
        reader.read(url)


def test_a_server_that_is_not_there_is_unreadable(reader: WebReader) -> None:
    with pytest.raises(UnreadableSource, match="cannot be fetched"):
        reader.read("http://127.0.0.1:1/a.jpg")


PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:0:0:0:0:80ff:fffe",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_without_a_connection(server: str, address: str) -> None:
    reader = WebReader(SourceLimits(), resolver=lambda host, port: [address])
    with pytest.raises(UnreadableSource, match="this machine or its network"):
        reader.read("http://innocent.example/a.jpg")
    reader.close()
    assert Handler.seen == []


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    reader = WebReader(SourceLimits(), resolver=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(UnreadableSource, match=r"10\.0\.0\.1"):
        reader.read("https://innocent.example/a.jpg")
    reader.close()


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f.1", "localhost", "[::1]"])
def test_every_spelling_of_this_machine_is_refused(spelling: str) -> None:
    reader = WebReader(SourceLimits())
    with pytest.raises(UnreadableSource):
        reader.read(f"http://{spelling}:1/a.jpg")
    reader.close()


def test_a_redirect_into_the_own_network_is_refused(server: str) -> None:
    """The first host counts as public, the second does not."""
    port = server.rpartition(":")[2]

    class Reader(WebReader):
        def _checked_address(self, target: object, url: str) -> str:
            if target.host == "public.example":  # type: ignore[attr-defined]
                return "127.0.0.1"
            return super()._checked_address(target, url)  # type: ignore[arg-type]

    reader = Reader(SourceLimits())
    with pytest.raises(UnreadableSource, match="this machine or its network"):
        reader.read(f"http://public.example:{port}/leads/http://127.0.0.1:{port}/image")
    reader.close()
    assert [path for path, _ in Handler.seen] == [f"/leads/http://127.0.0.1:{port}/image"]


def test_a_name_is_resolved_once_and_the_checked_address_used(server: str) -> None:
    port = server.rpartition(":")[2]
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    reader = WebReader(OPEN, resolver=lambda host, port: next(answers))
    assert reader.read(f"http://rebinding.example:{port}/image") == b"pixels"
    reader.close()
    assert Handler.seen == [("/image", f"rebinding.example:{port}")]


def test_lists_and_single_urls_fetch_through_the_guard(server: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{server}/image\n")
    for source, allowed in (
        (open_list(tmp_path / "list.txt", limits=OPEN), True),
        (open_list(tmp_path / "list.txt", limits=SourceLimits()), False),
        # Named by the operator: its host may be a private one. What it redirects to may not.
        (open_source(f"{server}/image", limits=SourceLimits()), True),
        (open_source(f"{server}/leads/http://localhost:1/image", limits=SourceLimits()), False),
    ):
        with source:
            item = next(iter(source.scan()))
            assert isinstance(item, SourceItem)
            if allowed:
                assert item.uri == f"{server}/image"
                assert source.read(item) == b"pixels"
            else:
                with pytest.raises(ImageError, match="this machine or its network"):
                    source.read(item)
