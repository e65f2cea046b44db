"""Clients of the HTTP API, as `benchmarks.serve` uses them: what they ask, and what they met.

In production clients are other machines; here they take from the server's cores. So they do as
little as can be: requests are written down beforehand, one thread waits for all connections, and of
an answer it reads the status and the length. What they cost all the same is counted.
"""

from __future__ import annotations

import contextlib
import io
import json
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

K = 20
SIDE = 256
_PATIENCE_S = 120.0
WARM_UP_S = 2.0
_RECEIVED_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Load:
    """What some clients met: each asks again as soon as it is answered.

    latencies_ms: of the answers that came within `seconds`. asked: all requests, those before and
    after among them; cpu_s: processor time that the clients spent on all of them.
    """

    latencies_ms: list[float]
    seconds: float
    asked: int
    cpu_s: float

    def figures(self) -> dict[str, float]:
        p50, p95, p99 = np.percentile(self.latencies_ms, [50, 95, 99])
        return {
            "requests_per_s": len(self.latencies_ms) / self.seconds,
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
        }

    @property
    def cpu_ms(self) -> float:
        """Processor milliseconds of the clients per request."""
        return 1000 * self.cpu_s / self.asked


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    at: int
    begun: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    head: bytes = b""
    missing: int = -1
    """Bytes of the answer that are still to come; -1 while its head is not complete."""

    def send(self) -> bool:
        """Send what the connection takes; whether all is sent."""
        try:
            sent = self.connection.send(self.unsent)
        except BlockingIOError:
            return False
        self.unsent = self.unsent[sent:]
        return not self.unsent

    def receive(self, buffer: bytearray) -> bool:
        """Take what has come; whether the answer is complete. Raises RuntimeError for a bad one."""
        count = self.connection.recv_into(buffer)
        if not count:
            raise RuntimeError("the server closed the connection")
        if self.missing < 0:
            self.head += buffer[:count]
            head, end, body = self.head.partition(b"\r\n\r\n")
            if not end:
                return False
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:2000]!r}")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.missing = int(length) - len(body)
        else:
            self.missing -= count
        return self.missing == 0


def load(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    *,
    warm_up_s: float = WARM_UP_S,
) -> Load:
    """What the clients meet in so many seconds; every one of them has a connection of its own.

    They have asked for a while before and are waited for afterwards, and neither counts: then the
    server has fewer of them than it is said to have.
    """
    buffer, spent = bytearray(_RECEIVED_AT_ONCE), list[float]()
    with contextlib.ExitStack() as opened:
        selector = opened.enter_context(selectors.DefaultSelector())
        for number in range(clients):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_WRITE, _Client(connection, 37 * number))
        cpu, asked = time.process_time(), 0
        begin = time.perf_counter() + warm_up_s
        end = begin + seconds
        for key in list(selector.get_map().values()):
            _ask(selector, key.data, requests)
        while selector.get_map():
            ready = selector.select(_PATIENCE_S)
            if not ready:
                raise RuntimeError(f"no answer within {_PATIENCE_S:g} s")
            for key, event in ready:
                client = key.data
                if event & selectors.EVENT_WRITE:
                    if client.send():
                        selector.modify(client.connection, selectors.EVENT_READ, client)
                elif client.receive(buffer):
                    now = time.perf_counter()
                    asked += 1
                    if begin <= now < end:
                        spent.append(1000 * (now - client.begun))
                    if now < end:
                        client.at += 1
                        _ask(selector, client, requests)
                    else:
                        selector.unregister(client.connection)
        if not spent:
            raise RuntimeError(f"no answer within {seconds:g} s of measuring; measure for longer")
        return Load(spent, seconds, asked, time.process_time() - cpu)


def _ask(selector: selectors.BaseSelector, client: _Client, requests: Sequence[bytes]) -> None:
    client.begun, client.head, client.missing = time.perf_counter(), b"", -1
    client.unsent = memoryview(requests[client.at % len(requests)])
    wanted = selectors.EVENT_READ if client.send() else selectors.EVENT_WRITE
    if selector.get_key(client.connection).events != wanted:
        selector.modify(client.connection, wanted, client)


def text_requests(texts: Sequence[str]) -> list[bytes]:
    return [
        _request(json.dumps({"terms": [{"text": text}], "k": K}).encode(), "application/json")
        for text in texts
    ]


def image_requests(files: Sequence[bytes]) -> list[bytes]:
    mark = b"likenessbenchmark"
    return [
        _request(
            b'--%b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n%b\r\n--%b\r\n"
            b'Content-Disposition: form-data; name="k"\r\n\r\n%d\r\n--%b--\r\n'
            % (mark, data, mark, K, mark),
            "multipart/form-data; boundary=likenessbenchmark",
        )
        for data in files
    ]


def _request(body: bytes, media_type: str) -> bytes:
    return (
        f"POST /v1/collections/default/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def some_texts(count: int) -> list[str]:
    random = np.random.default_rng(1)
    words = ["red", "dog", "snow", "beach", "night", "car", "old", "tree", "child", "street"]
    return [" ".join(random.choice(words, 4)) + f" {at}" for at in range(count)]


def some_pictures(count: int) -> list[bytes]:
    """JPEGs of coarse noise, so that they weigh about what photos do."""
    random = np.random.default_rng(2)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        files.append(buffer.getvalue())
    return files
