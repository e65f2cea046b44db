"""The HTTP API under load, beside the encoder by itself: latencies, requests/s, and a publish.

Server, clients and publisher are processes of their own on this machine and share its cores; the
encoder by itself has them all. Weights are random where `--random` says so: time does not depend on
them. Vectors are clustered at random.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from api.threads import ENVIRONMENT, share_cores
from benchmarks.record import print_table, write_result
from benchmarks.search import ROWS_PER_COMMIT, clustered
from benchmarks.serve_clients import (
    SIDE,
    Load,
    image_requests,
    load,
    some_pictures,
    some_texts,
    text_requests,
)
from indexer.publish import publish
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.encoders.interface import Encoder
from likeness.encoders.loading import load_encoder
from likeness.runtime import Runtime
from likeness.settings import Settings, load_settings
from likeness.types import ImageFacts
from likeness.vectors.cores import in_background

BARE_BATCH = 64
PUBLISH_CLIENTS = 8


class RandomRuntime(Runtime):
    """Encoders without weights, so that any of them can be measured anywhere."""

    def encoder(self, name: str) -> Encoder:
        if name not in self._encoders:
            self._limit_threads()
            self._encoders[name] = load_encoder(name, random_seed=0)
        return self._encoders[name]


def open_runtime(settings: Settings, *, random: bool) -> Runtime:
    return RandomRuntime(settings) if random else Runtime(settings)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--encoder", default="open_clip:ViT-B-32/laion2b_s34b_b79k")
    parser.add_argument("--random", action="store_true", help="random weights")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--name", default="serve", help="of the file of results")
    parser.add_argument("--role", choices=["measure", "serve", "publish"], default="measure")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args(arguments)
    if options.role == "serve":
        return serve(options.home, random=options.random)
    if options.role == "publish":
        return publish_on(options.home, random=options.random)
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder) / "home", max_k=1000)
        with open_runtime(settings, random=options.random) as runtime:
            encoder = runtime.encoder(options.encoder)
            fill(runtime, encoder, options.images)
            figures = measure(options, settings.home, encoder)
    write_result(
        options.name,
        command=["python", "-m", "benchmarks.serve", *arguments],
        data=f"{options.images} clustered random vectors of {encoder.spec.dim} numbers; "
        f"words of four, JPEGs of {SIDE} px",
        encoder=f"{encoder.spec.name}" + (" with random weights" if options.random else ""),
        figures=figures,
    )
    return 0


def fill(runtime: Runtime, encoder: Encoder, images: int) -> Space:
    """A collection of that many vectors, with a published index."""
    catalog = runtime.catalog
    collection = catalog.create_collection("default")
    space = catalog.ensure_space(
        collection.id,
        encoder=encoder.spec.name,
        fingerprint=encoder.fingerprint,
        dim=encoder.spec.dim,
        towers=encoder.spec.towers,
    )
    stored = clustered(images, encoder.spec.dim)
    for start in range(0, len(stored), ROWS_PER_COMMIT):
        rows = stored[start : start + ROWS_PER_COMMIT]
        items = [
            Stored(
                SourceFacts(f"file:///{at}.jpg", f"/{at}.jpg", f"{at:064x}", size=1, mtime_ns=1),
                ImageFacts(width=1 + at % 100, height=1, format="jpeg"),
                at - start,
            )
            for at in range(start, start + len(rows))
        ]
        catalog.commit_batch(collection.id, Batch(items, {space.id: rows}))
    publish(catalog, space, runtime.index_dir(space))
    return space


# ------------------------------------------------------------------------ the other processes


def serve(home: Path, *, random: bool) -> int:
    share_cores()
    import uvicorn

    from api.app import create_app

    with open_runtime(load_settings(home=home, port=0), random=random) as runtime:
        app = create_app(runtime)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))

        async def run() -> None:
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.05)
            await app.state.service.wait_until_ready()
            print(server.servers[0].sockets[0].getsockname()[1], flush=True)
            await serving

        asyncio.run(run())
    return 0


def publish_on(home: Path, *, random: bool) -> int:
    """Publish one index after the other until the time is up, as a service does in its background;
    print how many. The first line of the input says for how many seconds."""
    count = 0
    with in_background(), open_runtime(load_settings(home=home), random=random) as runtime:
        collection = runtime.catalog.collection("default")
        (space,) = runtime.catalog.spaces(collection.id)
        print("ready", flush=True)
        deadline = time.monotonic() + float(sys.stdin.readline())
        while time.monotonic() < deadline:
            publish(runtime.catalog, space, runtime.index_dir(space))
            count += 1
    print(count, flush=True)
    return 0


@contextmanager
def process(role: str, home: Path, *, random: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.serve", "--role", role, "--home", str(home)]
    with subprocess.Popen(
        [*command, *(["--random"] if random else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **os.environ} if role == "serve" else None,
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


# ------------------------------------------------------------------------ what is measured


def bare_rate(work: Callable[[], object], seconds: float) -> float:
    """Items/s of an encoder's calls of BARE_BATCH items, after one to warm up."""
    work()
    calls, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        work()
        calls += 1
    return calls * BARE_BATCH / (time.perf_counter() - begun)


def measure(options: argparse.Namespace, home: Path, encoder: Encoder) -> dict[str, Any]:
    texts, files = some_texts(1024), some_pictures(128)
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in files[:BARE_BATCH]]
    kinds: dict[str, tuple[list[bytes], Callable[[], object]]] = {
        "text": (text_requests(texts), lambda: encoder.embed_texts(texts[:BARE_BATCH])),
        "image": (image_requests(files), lambda: encoder.embed(pixels)),
    }
    figures: dict[str, Any] = {}
    rows: list[Sequence[object]] = []
    bare_s = options.seconds / 2
    with process("serve", home, random=options.random) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        print(f"the server listens on {port}", file=sys.stderr, flush=True)
        for kind, (requests, bare) in kinds.items():
            load(port, requests, 8, 2)  # to warm up
            for clients in options.clients:
                # Before and after: whatever else runs on the machine slows both alike.
                before = bare_rate(bare, bare_s)
                found = load(port, requests, clients, options.seconds).figures()
                rate = (before + bare_rate(bare, bare_s)) / 2
                found |= {"encoder_per_s": rate, "share": found["requests_per_s"] / rate}
                figures[f"{kind}, {clients} clients"] = found
                rows.append((kind, clients, *found.values()))
                print(f"{kind}, {clients} clients: {found}", file=sys.stderr, flush=True)
        quiet, during, published = measure_publish(options, home, port, kinds["text"][0])
    columns = ["query", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms",
               "encoder alone/s", "share"]  # fmt: skip
    print_table(columns, rows)
    ratio = during["p99_ms"] / quiet["p99_ms"]
    print()
    print_table(
        [f"text, {PUBLISH_CLIENTS} clients", "requests/s", "p50 ms", "p95 ms", "p99 ms"],
        [
            ("by itself", *quiet.values()),
            (f"during {published} publishes", *during.values()),
            ("ratio of p99", "", "", "", ratio),
        ],
    )
    figures["publish"] = {
        "quiet": quiet,
        "during": during,
        "publishes": published,
        "p99_ratio": ratio,
    }
    return figures


def measure_publish(
    options: argparse.Namespace, home: Path, port: int, requests: Sequence[bytes]
) -> tuple[dict[str, float], dict[str, float], int]:
    """Text queries without and with a publisher beside them, in turns."""
    quiet: list[Load] = []
    during: list[Load] = []
    published = 0
    for _ in range(2):
        quiet.append(load(port, requests, PUBLISH_CLIENTS, options.seconds))
        with process("publish", home, random=options.random) as publisher:
            assert publisher.stdin is not None
            assert publisher.stdout is not None
            publisher.stdout.readline()
            publisher.stdin.write(f"{options.seconds}\n")
            publisher.stdin.flush()
            during.append(load(port, requests, PUBLISH_CLIENTS, options.seconds))
            published += int(publisher.stdout.readline())
    return _joined(quiet).figures(), _joined(during).figures(), published


def _joined(loads: Sequence[Load]) -> Load:
    return Load([ms for each in loads for ms in each.latencies_ms], sum(x.seconds for x in loads))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
