"""What a client can do, whichever way it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as Pixels

from api.schemas.check import CheckedImage
from api.schemas.images import Image
from likeness.client.results import Explained, Results

DEFAULT_COLLECTION = "default"

Picture: TypeAlias = str | Path | bytes | npt.NDArray[np.uint8] | Pixels.Image
"""A file's path, an http(s) URL, a file's bytes, pixels uint8 [h, w, 3], or a Pillow image."""

Source: TypeAlias = str | Path | bytes
"""A folder, file, archive or URL, or the bytes of an image file."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to answer; the fields of `search.request.SearchRequest` of the same names."""

    k: int = 20
    offset: int = 0
    where: str | None = None
    after: str | None = None
    space: str | None = None
    fusion: str = "evidence"
    rerank: tuple[str, ...] = ()
    candidates: int = 200
    max_false: float | None = None
    keep_queried: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. pictures: with their weights."""

    texts: tuple[tuple[str, float], ...] = ()
    pictures: tuple[tuple[Picture, float], ...] = ()
    ids: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class AddReport:
    """What became of what was added. problems: (name, code, reason) of what failed."""

    added: int
    known: int
    failed: int
    problems: tuple[tuple[str, str, str], ...] = field(default=())


class Client(Protocol):
    """Searches and changes collections. A context manager: it closes itself.

    collection: what the methods work on when none is named. Errors are LikenessError.
    """

    collection: str

    def search(
        self,
        text: str | Sequence[str] = (),
        *,
        image: Picture | Sequence[Picture] = (),
        image_id: int | Sequence[int] = (),
        without: str | Sequence[str] = (),
        without_image: Picture | Sequence[Picture] = (),
        without_id: int | Sequence[int] = (),
        collection: str | None = None,
        **options: Any,
    ) -> Results:
        """The images nearest to words, pictures and stored images together, best first.

        options: the fields of `Options`.
        """
        ...

    def add(
        self, sources: Source | Sequence[Source], *, collection: str | None = None
    ) -> AddReport:
        """The images of the sources are in the collection, which is made if need be.

        Safe to repeat. Through a service, files are read here and sent.
        """
        ...

    def remove(
        self,
        image_ids: int | Sequence[int] = (),
        *,
        where: str | None = None,
        collection: str | None = None,
    ) -> int:
        """The images, by id or by filter, are out of the collection; how many. Files stay."""
        ...

    def images(
        self,
        *,
        where: str | None = None,
        state: str = "ready",
        limit: int | None = None,
        collection: str | None = None,
    ) -> Iterator[Image]:
        """Images by id, with everything known of them; pages are fetched as they are needed."""
        ...

    def explain(
        self,
        image_id: int,
        *,
        image: Picture | None = None,
        query_id: int | None = None,
        space: str | None = None,
        collection: str | None = None,
    ) -> Explained:
        """Why an image matched a picture, or another image: shared region, map, attention."""
        ...

    def check(
        self,
        images: Picture | Sequence[Picture],
        *,
        least: str = "edited-copy",
        collection: str | None = None,
    ) -> list[CheckedImage]:
        """Of each picture, whether the collection has it, how it is related, and the proof.

        least: the loosest relation that counts: same-bytes, same-pixels, edited-copy, same-scene.
        Nothing is stored.
        """
        ...

    def close(self) -> None:
        """Give everything back; the client is of no more use."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
