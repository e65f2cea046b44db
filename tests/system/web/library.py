"""A small library to look at: drawings with facts, copies, plain pictures, and hostile names."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL import Image

from api.app import create_app
from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.runtime import Runtime
from likeness.settings import load_settings
from scripts.pictures.drawings import draw
from scripts.pictures.edits import crop_80_percent, with_text
from tests.fakes.pictures import draw_picture

DRAWN = (
    "banana",
    "green-apple",
    "green-hills",
    "hot-air-balloon",
    "lemons",
    "night-sky",
    "red-apple",
    "sailing-boat",
    "snowy-mountains",
    "stop-sign",
)
PLAIN = 44
HOSTILE = (
    "<img src=x onerror=document.title='pwned'>.jpg",
    '"><script>document.title="pwned"<!-- &amp; %3Cb%3E.jpg',
)
_MAKE, _MODEL, _EXIF, _TAKEN, _GPS = 0x010F, 0x0110, 0x8769, 0x9003, 0x8825
_SIZE = (320, 240)


def write_library(folder: Path) -> None:
    """`drawn/` (four of them with camera, time and place), `copies/`, `plain/`, `odd names/`."""
    for part in ("drawn", "copies", "plain", "odd names"):
        (folder / part).mkdir(parents=True)
    for number, name in enumerate(DRAWN):
        image = draw(name, 0)
        if number < 4:
            _save(image, folder / "drawn" / f"{name}.jpg", camera=number % 2, year=2018 + number)
        else:
            _save(image, folder / "drawn" / f"{name}.jpg")
    apple = draw("red-apple", 0)
    _save(with_text(apple), folder / "copies" / "red-apple-with-text.jpg")
    _save(crop_80_percent(apple), folder / "copies" / "red-apple-cut.jpg")
    for seed in range(PLAIN):
        size = ((64, 48), (48, 64), (90, 40))[seed % 3]
        draw_picture(seed, size).save(folder / "plain" / f"plain{seed:03}.png")
    for seed, name in enumerate(HOSTILE):
        draw_picture(100 + seed).save(folder / "odd names" / name, "JPEG")


def _save(
    image: Image.Image, path: Path, *, camera: int | None = None, year: int | None = None
) -> None:
    facts = Image.Exif()
    if camera is not None:
        facts[_MAKE], facts[_MODEL] = (("Google", "Pixel 7"), ("Canon", "EOS R6"))[camera]
        facts.get_ifd(_EXIF)[_TAKEN] = f"{year}:06:01 12:30:00"
        facts.get_ifd(_GPS).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 26.0)})
    image.resize(_SIZE, Image.Resampling.LANCZOS).save(path, quality=90, exif=facts)


def index(runtime: Runtime, collection: str, folder: Path) -> None:
    """The folder's images are in the collection."""
    request = IndexRequest(collection, sources=[str(folder)])
    Indexer(runtime).index(request, Progress(), threading.Event())


@contextmanager
def open_library(folder: Path) -> Iterator[Runtime]:
    """A runtime whose collection `default` holds the library, and `empty` nothing."""
    write_library(folder / "pictures")
    settings = load_settings(
        home=folder / "home",
        encoder="likeness:tiny",
        decode_workers=1,
        fetch_urls=True,
        allow_private_urls=True,
    )
    with Runtime(settings) as runtime:
        index(runtime, "default", folder / "pictures")
        runtime.catalog.create_collection("empty")
        yield runtime


@contextmanager
def serve(runtime: Runtime) -> Iterator[str]:
    """The URL of the service over a runtime, warmed up."""
    app = create_app(runtime)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        while app.state.service.trouble is not None:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
