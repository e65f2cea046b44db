"""Vectors of the images of a labelled set, decoded in worker processes and kept on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.encoders.interface import Encoder
from likeness.encoders.preprocess import Preprocess
from likeness.errors import ImageError, UnreadableSource
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool, PreparedImage
from likeness.types import Embeddings, RgbImage
from search.evaluation.labels import Box, LabelledQuery

_AHEAD = 64


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files to embed; box: pixels of the part that counts, or None for all."""

    files: tuple[Path, ...]
    boxes: tuple[Box | None, ...]

    @classmethod
    def whole(cls, files: Sequence[Path]) -> Pictures:
        return cls(tuple(files), (None,) * len(files))

    @classmethod
    def of_queries(cls, queries: Sequence[LabelledQuery]) -> Pictures:
        return cls(tuple(q.image for q in queries), tuple(q.box for q in queries))


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that could not be used, and why."""

    path: Path
    reason: str


def embed_pictures(
    pictures: Pictures,
    encoder: Encoder,
    *,
    cache: Path | None,
    workers: int,
    limits: DecodeLimits,
    progress: Callable[[int], None] = lambda _done: None,
) -> tuple[Embeddings, list[Failed]]:
    """float32 [n, d], one row per picture; rows of zeros for those that cannot be used.

    cache: folder where the vectors are kept, found again by encoder fingerprint and by each file's
    path, size and modification time. Failures are not cached: they are tried and reported anew.
    """
    file = None if cache is None else cache / f"{_digest(pictures, encoder.fingerprint)}.npy"
    kept = None if file is None else _read(file, (len(pictures.files), encoder.spec.dim))
    if kept is not None:
        progress(len(pictures.files))
        return kept, []
    vectors = np.zeros((len(pictures.files), encoder.spec.dim), dtype=np.float32)
    failures: list[Failed] = []
    rows: list[int] = []
    batch: list[RgbImage] = []
    with DecodePool(workers, limits=limits, prepare={"whole": np.ascontiguousarray}) as pool:
        for number, decoded in enumerate(_decoded(pictures.files, pool)):
            if isinstance(decoded, PreparedImage):
                rows.append(number)
                batch.append(_prepared(decoded, pictures.boxes[number], encoder.preprocess))
            else:
                failures.append(Failed(pictures.files[number], str(decoded)))
            if len(batch) == encoder.batch_size or (batch and number == len(pictures.files) - 1):
                vectors[rows] = encoder.embed_prepared(np.stack(batch))
                rows, batch = [], []
            progress(number + 1)
    if batch:
        vectors[rows] = encoder.embed_prepared(np.stack(batch))
    if file is not None and not failures:
        _write(file, vectors)
    return vectors, failures


def crop_to(pixels: RgbImage, box: Box) -> RgbImage:
    """The part of uint8 [h, w, 3] inside left, top, right, bottom in pixels; at least one pixel."""
    height, width = pixels.shape[:2]
    left, top = min(max(round(box[0]), 0), width - 1), min(max(round(box[1]), 0), height - 1)
    right, bottom = max(round(box[2]), left + 1), max(round(box[3]), top + 1)
    return pixels[top:bottom, left:right]


def _prepared(decoded: PreparedImage, box: Box | None, preprocess: Preprocess) -> RgbImage:
    pixels = decoded.arrays["whole"]
    return preprocess(pixels if box is None else crop_to(pixels, box))


def _decoded(files: Sequence[Path], pool: DecodePool) -> Iterator[PreparedImage | ImageError]:
    """Decoded images in order, some read ahead of time."""
    waiting: deque[Future[PreparedImage] | ImageError] = deque()
    names = iter(files)
    for path in names:
        waiting.append(_submitted(path, pool))
        if len(waiting) >= _AHEAD:
            yield _outcome(waiting.popleft())
    while waiting:
        yield _outcome(waiting.popleft())


def _submitted(path: Path, pool: DecodePool) -> Future[PreparedImage] | ImageError:
    try:
        return pool.submit(path.read_bytes(), str(path))
    except OSError as error:
        return UnreadableSource(str(path), f"it cannot be read: {error.strerror}")


def _outcome(waiting: Future[PreparedImage] | ImageError) -> PreparedImage | ImageError:
    if isinstance(waiting, ImageError):
        return waiting
    try:
        return waiting.result()
    except ImageError as error:
        return error


def _digest(pictures: Pictures, fingerprint: str) -> str:
    seal = hashlib.sha256(fingerprint.encode())
    for path, box in zip(pictures.files, pictures.boxes, strict=True):
        try:
            stat = path.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "missing"
        seal.update(f"{path.absolute()}\0{state}\0{box}\n".encode())
    return seal.hexdigest()[:32]


def _read(file: Path, shape: tuple[int, int]) -> Embeddings | None:
    try:
        vectors = np.load(file, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return vectors if vectors.shape == shape and vectors.dtype == np.float32 else None


def _write(file: Path, vectors: Embeddings) -> None:
    """Keep the vectors; where they cannot be kept, they are computed again next time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as out:
                np.save(out, vectors)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError:
        return
