"""Frames of the map page while it is panned and zoomed, beside one `fillRect` per point.

    python -m benchmarks.map [--points 100000] [--frames 120]

Opens the page in Chromium over synthetic points (clouds, as maps have them) and moves it in every
frame. `work_ms` is what a frame's callback takes of the page's thread, `frame_ms` the time from one
frame to the next. The peer draws the same points in the same places on a canvas of the same size,
each with `fillRect`, which is what a page without a buffer of its own would do.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import Page, sync_playwright

from api.app import create_app
from api.sorting.mapping import MEDIA_TYPE, MapClusters, packed
from benchmarks.record import print_table, write_result
from likeness.catalog.sorting.clusters import Members
from likeness.catalog.sorting.points import PointFacts
from likeness.runtime import Runtime
from likeness.settings import load_settings
from search.clusters.map import CollectionMap

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_SIZE = {"width": 1440, "height": 900}

_TIMED_FRAMES = """() => {
  const raf = window.requestAnimationFrame.bind(window);
  window.work = [];
  window.requestAnimationFrame = (run) => raf((now) => {
    const from = performance.now();
    run(now);
    window.work.push(performance.now() - from);
  });
  window.plainRaf = raf;
}"""

_MOVE = """async ([frames, wheel]) => {
  const canvas = document.querySelector(".map-canvas");
  const box = canvas.getBoundingClientRect();
  const sent = {bubbles: true, cancelable: true};
  const at = {...sent, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2};
  window.work.length = 0;
  const gaps = [];
  let last = null;
  const move = (n) => {
    const deltaY = n < frames / 2 ? -40 : 40;
    const key = n % 8 < 4 ? "ArrowLeft" : "ArrowRight";
    if (wheel) canvas.dispatchEvent(new WheelEvent("wheel", {...at, deltaY}));
    else canvas.dispatchEvent(new KeyboardEvent("keydown", {...sent, key}));
  };
  for (let n = 0; n < frames; n += 1) {
    const now = await new Promise((done) => window.plainRaf(done));
    if (last !== null) gaps.push(now - last);
    last = now;
    move(n);
  }
  return {work: window.work.slice(), gaps};
}"""

_PEER = """async ([points, frames, width, height]) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  document.body.append(canvas);
  const context = canvas.getContext("2d");
  const work = [];
  const gaps = [];
  let last = null;
  for (let n = 0; n < frames; n += 1) {
    const now = await new Promise((done) => window.plainRaf(done));
    if (last !== null) gaps.push(now - last);
    last = now;
    const from = performance.now();
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    for (let at = 0; at < points.length; at += 3) {
      context.fillStyle = `hsl(${points[at + 2] * 9} 60% 50%)`;
      context.fillRect(points[at] + n, points[at + 1], 2, 2);
    }
    context.getImageData(0, 0, 1, 1);
    work.push(performance.now() - from);
  }
  canvas.remove();
  return {work, gaps};
}"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=120)
    given = parser.parse_args(arguments)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is not installed (Debian: chromium)")
        return 2
    body, places = _points(given.points)
    rows: list[tuple[object, ...]] = []
    with _site() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*_ARGUMENTS])
        page = browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]
        page.add_init_script(f"({_TIMED_FRAMES})()")
        page.route("**/v1/collections/default/map", lambda route: route.fulfill(
            body=body, content_type=MEDIA_TYPE))  # fmt: skip
        started = time.perf_counter()
        page.goto(f"{url}/map")
        page.locator(".map-legend").wait_for()
        opening_s = time.perf_counter() - started
        page.locator(".map-canvas").focus()
        for name, wheel in (("pan", False), ("zoom", True)):
            rows.append((name, *_figures(page.evaluate(_MOVE, [given.frames, wheel]))))
        rows.append(("fillRect per point", *_figures(_peer(page, places, given.frames))))
        browser.close()
    columns = ("what", "work_ms p50", "work_ms p95", "frame_ms p50", "frame_ms p95")
    print_table(columns, rows)
    print(f"\n{len(body):,} bytes for {given.points:,} points; open after {opening_s:.2f} s")
    write_result(
        "map",
        command=["benchmarks.map", *map(str, arguments or ())],
        data=f"{given.points} synthetic points in 40 clouds, {_SIZE['width']} x {_SIZE['height']}",
        encoder=None,
        figures={
            "bytes": len(body),
            "open_s": round(opening_s, 2),
            "rows": [dict(zip(columns, row, strict=True)) for row in rows],
        },
    )
    return 0


def _peer(page: Page, places: Any, frames: int) -> Any:
    return page.evaluate(_PEER, [places, min(frames, 40), _SIZE["width"], _SIZE["height"]])


def _figures(found: Any) -> tuple[float, ...]:
    work, gaps = np.array(found["work"] or [0.0]), np.array(found["gaps"])
    return tuple(
        round(float(np.percentile(values, share)), 2)
        for values in (work, gaps)
        for share in (50, 95)
    )


def _points(n: int) -> tuple[bytes, list[float]]:
    """The map as it travels; and for the peer x, y in pixels and cloud, one after the other."""
    random = np.random.default_rng(0)
    cloud = random.integers(0, 40, n)
    places = random.uniform(-0.8, 0.8, (40, 2))[cloud] + random.normal(0, 0.06, (n, 2))
    ids = np.arange(1, n + 1, dtype=np.int64)
    facts = PointFacts(
        ids, random.integers(10**9, 2 * 10**9, n), (cloud % 7).astype(np.int32),
        tuple(f"/photos/{number}" for number in range(7)),
    )  # fmt: skip
    members = Members(ids, cloud.astype(np.int32), np.ones(n, np.float32))
    clusters = MapClusters(1, "synthetic", {k: f"cloud {k}" for k in range(40)}, members)
    made = CollectionMap(ids, places.astype(np.float32), n, "synthetic")
    scaled = (
        (places - places.min(axis=0)) / np.ptp(places, axis=0) * [_SIZE["width"], _SIZE["height"]]
    )
    flat = np.column_stack([scaled, cloud]).round(1).ravel().tolist()
    return packed(made, facts, clusters), flat


@contextmanager
def _site() -> Iterator[str]:
    """The URL of the page over an empty collection."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder), decode_workers=1)
        with Runtime(settings) as runtime:
            runtime.catalog.create_collection("default")
            server = uvicorn.Server(
                uvicorn.Config(create_app(runtime), port=0, log_level="critical")
            )
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                while not server.started:
                    time.sleep(0.02)
                yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join(30)


if __name__ == "__main__":
    raise SystemExit(main())
