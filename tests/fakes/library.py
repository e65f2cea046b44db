"""A small library with copies in it: drawn scenes, some of them twice, one cropped."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.settings import load_settings
from search.duplicates.edits import edit_named
from tests.fakes.runtime import FakeRuntime
from tests.fakes.scenes import draw_scene

SCENES = 6


def write_library(folder: Path) -> None:
    """Six scenes `N.png`; `0 again.png` has the bytes of 0; `1 cropped.png` is cut from 1;
    `2 small.jpg` is half of 2; `album/2 again.png` has the bytes of 2; `empty.png` is blank."""
    (folder / "album").mkdir(parents=True)
    for seed in range(SCENES):
        Image.fromarray(draw_scene(seed)).save(folder / f"{seed}.png")
    shutil.copy(folder / "0.png", folder / "0 again.png")
    cropped = edit_named("crop-90")(draw_scene(1), np.random.default_rng(0))
    Image.fromarray(cropped).save(folder / "1 cropped.png")
    two = Image.fromarray(draw_scene(2))
    two.resize((two.width // 2, two.height // 2)).save(folder / "2 small.jpg", quality=85)
    shutil.copy(folder / "2.png", folder / "album" / "2 again.png")
    Image.new("RGB", (64, 64), (250, 250, 250)).save(folder / "empty.png")


@contextmanager
def open_library(folder: Path, **settings: object) -> Iterator[FakeRuntime]:
    """A runtime whose collection `default` holds the library, which lies in `folder/photos`."""
    write_library(folder / "photos")
    options = {"decode_workers": 1, "max_body": 2**22, **settings}
    with FakeRuntime(load_settings(home=folder / "home", **options)) as runtime:
        request = IndexRequest("default", sources=[str(folder / "photos")])
        Indexer(runtime).index(request, Progress(), threading.Event())
        yield runtime
