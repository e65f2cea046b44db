"""The HTTP API under load, beside the encoder by itself: latencies, requests/s, and a publish.

Server, clients and publisher are processes of their own on this machine and share its cores; the
encoder by itself has them all. Weights are random where `--random` says so: time does not depend on
them. Vectors are the clustered set of `benchmarks.vector_sets`, as hard as real ones. Processor
milliseconds per request stand beside the rates: the server's with its decode workers, the encoder's
share of them, and the clients', which in production are paid for elsewhere.
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
from benchmarks.search import ROWS_PER_COMMIT
from benchmarks.serve_clients import (
    SIDE,
    WARM_UP_S,
    Load,
    image_requests,
    load,
    some_pictures,
    some_texts,
    text_requests,
)
from benchmarks.serve_runtimes import InstantRuntime, RandomRuntime, cpu_seconds
from benchmarks.vector_sets import clustered
from indexer.publish import publish
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.encoders.interface import Encoder
from likeness.runtime import Runtime
from likeness.settings import Settings, load_settings
from likeness.types import ImageFacts
from likeness.vectors.cores import in_background

BARE_BATCH = 64
PUBLISH_CLIENTS = 8


NOTES = {"random": " with random weights", "instant": " replaced by one that computes nothing"}
RUNTIMES = {"random": RandomRuntime, "instant": InstantRuntime}


def open_runtime(settings: Settings, kind: str | None) -> Runtime:
    return RUNTIMES.get(kind or "", Runtime)(settings)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--encoder", default="open_clip:ViT-B-32/laion2b_s34b_b79k")
    parser.add_argument(
        "--random", dest="kind", action="store_const", const="random", help="random weights"
    )
    parser.add_argument(
        "--instant", dest="kind", action="store_const", const="instant",
        help="an encoder that computes nothing: what the service itself costs",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument(
        "--publish", action=argparse.BooleanOptionalAction, default=True,
        help="whether to measure beside a publisher, too",
    )  # fmt: skip
    parser.add_argument("--name", default="serve", help="of the file of results")
    parser.add_argument("--role", choices=["measure", "serve", "publish"], default="measure")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args(arguments)
    if options.role == "serve":
        return serve(options.home, options.kind)
    if options.role == "publish":
        return publish_on(options.home, options.kind)
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder) / "home", max_k=1000)
        with open_runtime(settings, options.kind) as runtime:
            encoder = runtime.encoder(options.encoder)
            fill(runtime, encoder, options.images)
            figures = measure(options, settings.home, encoder)
    write_result(
        options.name,
        command=["python", "-m", "benchmarks.serve", *arguments],
        data=f"{options.images} vectors of the set clustered, {encoder.spec.dim} numbers; "
        f"words of four, JPEGs of {SIDE} px",
        encoder=encoder.spec.name + NOTES.get(options.kind, ""),
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


def serve(home: Path, kind: str | None) -> int:
    share_cores()
    import uvicorn

    from api.app import create_app

    with open_runtime(load_settings(home=home, port=0), kind) as runtime:
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


def publish_on(home: Path, kind: str | None) -> int:
    """Publish one index after the other until the time is up, as a service does in its background;
    print how many. The first line of the input says for how many seconds."""
    count = 0
    share_cores()
    with in_background(), open_runtime(load_settings(home=home), kind) as runtime:
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
def process(role: str, home: Path, kind: str | None) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.serve", "--role", role, "--home", str(home)]
    with subprocess.Popen(
        [*command, *([] if kind is None else [f"--{kind}"])],
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


def bare_rate(work: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Items/s of an encoder's calls of BARE_BATCH items, after one to warm up, and the processor
    milliseconds of each item."""
    work()
    calls, begun, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        work()
        calls += 1
    items = calls * BARE_BATCH
    cpu_ms = 1000 * (time.process_time() - cpu) / items
    return items / (time.perf_counter() - begun), cpu_ms


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
    with process("serve", home, options.kind) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        print(f"the server listens on {port}", file=sys.stderr, flush=True)
        for kind, (requests, bare) in kinds.items():
            for clients in options.clients:
                # Before and after: whatever else runs on the machine slows both alike.
                before = bare_rate(bare, bare_s)
                cpu_s = cpu_seconds(server.pid)
                met = load(port, requests, clients, options.seconds)
                cpu_s = cpu_seconds(server.pid) - cpu_s
                after = bare_rate(bare, bare_s)
                found, rate = met.figures(), (before[0] + after[0]) / 2
                found |= {
                    "encoder_per_s": rate,
                    "share": found["requests_per_s"] / rate,
                    "server_cpu_ms": 1000 * cpu_s / met.asked,
                    "encoder_cpu_ms": (before[1] + after[1]) / 2,
                    "client_cpu_ms": met.cpu_ms,
                }
                figures[f"{kind}, {clients} clients"] = found
                rows.append((kind, clients, *found.values()))
                print(f"{kind}, {clients} clients: {found}", file=sys.stderr, flush=True)
        if options.publish:
            beside = measure_publish(options, home, port, kinds["text"][0])
    columns = ["query", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms",
               "encoder alone/s", "share", "server CPU ms/request", "encoder alone CPU ms",
               "client CPU ms/request"]  # fmt: skip
    print_table(columns, rows)
    if not options.publish:
        return figures
    quiet, during, published = beside
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
        with process("publish", home, options.kind) as publisher:
            assert publisher.stdin is not None
            assert publisher.stdout is not None
            publisher.stdout.readline()
            publisher.stdin.write(f"{WARM_UP_S + options.seconds}\n")
            publisher.stdin.flush()
            during.append(load(port, requests, PUBLISH_CLIENTS, options.seconds))
            published += int(publisher.stdout.readline())
    return _joined(quiet).figures(), _joined(during).figures(), published


def _joined(loads: Sequence[Load]) -> Load:
    return Load(
        [ms for each in loads for ms in each.latencies_ms],
        sum(each.seconds for each in loads),
        sum(each.asked for each in loads),
        sum(each.cpu_s for each in loads),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
