"""Photos to train on: folders and WebDataset shards behind one random-access list."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from likeness.errors import ImageError, SourceError
from likeness.imaging.decode import decode

_log = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class Photo:
    """Where one photo's bytes lie: a file, or `size` bytes from `offset` within a shard.

    key: its name without suffix, unique within a shard. captions: lines of the `.txt` beside it.
    """

    key: str
    file: Path
    offset: int
    size: int
    captions: tuple[str, ...] = ()

    def read(self) -> bytes:
        """Its bytes as stored."""
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)

    def image(self) -> Image.Image:
        """Its pixels, RGB, upright. Raises ImageError when it cannot be decoded."""
        return Image.fromarray(decode(self.read(), f"{self.file}:{self.key}").pixels)


def find_photos(places: Iterable[Path], exclude: Sequence[str] = ()) -> list[Photo]:
    """Every photo of these folders and shards, ordered by file and position.

    Raises SourceError for a place that is not there or holds no photo.
    """
    photos: list[Photo] = []
    for place in places:
        if not place.exists():
            raise SourceError(str(place), "not there")
        found = _in_folder(place, exclude) if place.is_dir() else _in_file(place)
        if not found:
            raise SourceError(str(place), f"holds no photo ({', '.join(sorted(SUFFIXES))})")
        photos.extend(found)
    return photos


def readable(photos: Iterable[Photo]) -> Iterator[tuple[Photo, Image.Image]]:
    """Each photo with its pixels; those that cannot be decoded are left out with a warning."""
    for photo in photos:
        try:
            yield photo, photo.image()
        except ImageError as error:
            _log.warning("left out of training: %s", error)


def split_held_out(photos: Sequence[Photo], count: int) -> tuple[list[Photo], list[Photo]]:
    """(training, held out): the `count` photos whose key has the lowest hash are held out.

    The choice depends on names only, so it stays the same when photos are added or reordered
    (up to those that the new ones displace) and on every machine.
    """
    ranked = sorted(
        photos, key=lambda p: hashlib.sha256(f"{p.file.name}/{p.key}".encode()).digest()
    )
    held_out = {(p.file, p.offset) for p in ranked[:count]}
    return [p for p in photos if (p.file, p.offset) not in held_out], list(ranked[:count])


def _in_folder(folder: Path, exclude: Sequence[str]) -> list[Photo]:
    photos: list[Photo] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not any(fnmatch.fnmatch(name, pattern) for pattern in exclude):
                photos.extend(_in_file(Path(parent, name)))
    return photos


def _in_file(file: Path) -> list[Photo]:
    suffix = file.suffix.lower()
    if suffix == ".tar":
        return _in_shard(file)
    if suffix in SUFFIXES:
        return [Photo(file.stem, file, 0, file.stat().st_size)]
    return []


def _in_shard(shard: Path) -> list[Photo]:
    """The shard's photos with the captions of the `.txt` members of the same key."""
    photos: list[Photo] = []
    captions: dict[str, tuple[str, ...]] = {}
    try:
        with tarfile.open(shard, "r:") as members:
            for member in members:
                key, _, suffix = member.name.rpartition(".")
                if not member.isfile():
                    continue
                if f".{suffix.lower()}" in SUFFIXES:
                    photos.append(Photo(key, shard, member.offset_data, member.size))
                elif suffix == "txt" and (text := members.extractfile(member)) is not None:
                    lines = text.read().decode("utf-8", "replace").splitlines()
                    captions[key] = tuple(line.strip() for line in lines if line.strip())
    except tarfile.TarError as error:
        raise SourceError(str(shard), f"not a readable shard ({error})") from error
    return [replace(p, captions=captions.get(p.key, ())) for p in photos]
