"""What both clients do with their arguments before they ask."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pixels

from likeness.client.interface import Options, Picture, Source, Wanted
from likeness.errors import QueryError
from search.request import NEGATIVE_WEIGHT


def is_url(value: object) -> bool:
    """Whether a picture or source is named by http(s) URL."""
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))


def wanted(
    text: str | Sequence[str],
    image: Picture | Sequence[Picture],
    image_id: int | Sequence[int],
    without: str | Sequence[str],
    without_image: Picture | Sequence[Picture],
    without_id: int | Sequence[int],
) -> Wanted:
    """The arguments of `Client.search` with their weights."""
    signs = ((1.0, text, image, image_id), (NEGATIVE_WEIGHT, without, without_image, without_id))
    return Wanted(
        tuple((each, weight) for weight, texts, _, _ in signs for each in texts_of(texts)),
        tuple((each, weight) for weight, _, pictures, _ in signs for each in pictures_of(pictures)),
        tuple((each, weight) for weight, _, _, ids in signs for each in ids_of(ids)),
    )


def options_of(given: dict[str, Any]) -> Options:
    """Raises QueryError for an option that there is not."""
    unknown = set(given) - set(Options.__slots__)
    if unknown:
        raise QueryError(
            f"there is no option {sorted(unknown)[0]!r}; there are: {', '.join(Options.__slots__)}"
        )
    if isinstance(given.get("rerank"), str):
        given = {**given, "rerank": given["rerank"].split(",")}
    return Options(**{**given, "rerank": tuple(given.get("rerank", ()))})


def texts_of(given: str | Sequence[str]) -> list[str]:
    """One or many, as many."""
    return [given] if isinstance(given, str) else list(given)


def ids_of(given: int | Sequence[int]) -> list[int]:
    """One or many, as many."""
    return [given] if isinstance(given, int) else [int(each) for each in given]


def pictures_of(given: Picture | Sequence[Picture]) -> list[Picture]:
    """One picture or many, as many. An array of three axes is one picture."""
    if isinstance(given, str | Path | bytes | np.ndarray | Pixels.Image):
        return [given]
    return list(given)


def sources_of(given: Source | Sequence[Source]) -> list[Source]:
    """One source or many, as many."""
    return [given] if isinstance(given, str | Path | bytes) else list(given)


def file_bytes(picture: Picture) -> tuple[bytes, str]:
    """A picture as the bytes of a file, and a name for messages. Not for URLs.

    Raises QueryError for a file that cannot be read and an array that is no picture.
    """
    if isinstance(picture, bytes):
        return picture, "the query image"
    if isinstance(picture, str | Path):
        path = Path(picture).expanduser()
        try:
            return path.read_bytes(), path.name
        except OSError as error:
            raise QueryError(f"{path}: {error.strerror or error}") from error
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise QueryError(
                f"the query image is an array of {picture.dtype} {list(picture.shape)}; pixels "
                "are uint8 [h, w, 3]"
            )
        picture = Pixels.fromarray(picture)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), "the query image"
