"""Clients of the HTTP API, as `benchmarks.serve` uses them: what they ask, and what they met."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

K = 20
SIDE = 256


@dataclass(frozen=True, slots=True)
class Load:
    """What some clients met: each asks again as soon as it is answered."""

    latencies_ms: list[float]
    seconds: float

    def figures(self) -> dict[str, float]:
        p50, p95, p99 = np.percentile(self.latencies_ms, [50, 95, 99])
        return {
            "requests_per_s": len(self.latencies_ms) / self.seconds,
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
        }


async def _client(
    port: int, requests: Sequence[bytes], start: int, deadline: float, spent: list[float]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    at = start
    try:
        while time.perf_counter() < deadline:
            begun = time.perf_counter()
            writer.write(requests[at % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:2000]!r}")
            spent.append(1000 * (time.perf_counter() - begun))
            at += 1
    finally:
        writer.close()
        await writer.wait_closed()


def load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """The clients ask for so long; every one of them has a connection of its own."""

    async def run() -> Load:
        spent: list[float] = []
        begun = time.perf_counter()
        await asyncio.gather(
            *(
                _client(port, requests, 37 * number, begun + seconds, spent)
                for number in range(clients)
            )
        )
        return Load(spent, time.perf_counter() - begun)

    return asyncio.run(run())


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
