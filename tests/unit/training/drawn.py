"""Drawn photos for the tests of training: no file of anyone's is needed."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

from PIL import Image, ImageDraw


def drawn_photo(seed: int, size: tuple[int, int] = (72, 56)) -> Image.Image:
    """A few coloured shapes on a ground, different for each seed."""
    rng = random.Random(seed)

    def colour() -> tuple[int, int, int]:
        return (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))

    image = Image.new("RGB", size, colour())
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = rng.randint(0, size[0] - 10), rng.randint(0, size[1] - 10)
        shape = rng.choice((draw.ellipse, draw.rectangle))
        shape((x, y, x + rng.randint(6, 30), y + rng.randint(6, 30)), fill=colour())
    return image


def as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_folder(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"photo_{i:03}.jpg").write_bytes(as_jpeg(drawn_photo(i)))
    return folder


def write_shard(path: Path, count: int, captions: dict[int, str]) -> Path:
    with tarfile.open(path, "w") as shard:
        for i in range(count):
            members = {f"drawn_{i:05}.jpg": as_jpeg(drawn_photo(i))}
            if i in captions:
                members[f"drawn_{i:05}.txt"] = captions[i].encode()
            for name, data in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                shard.addfile(entry, io.BytesIO(data))
    return path
