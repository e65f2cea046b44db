"""Pictures to look at: decoded small in worker processes, sketches kept while they are needed."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import numpy as np
from PIL import Image

from likeness.errors import ImageError
from likeness.imaging.decode import DEFAULT_LIMITS, DecodeLimits
from likeness.imaging.pool import DecodePool, PreparedImage
from likeness.types import RgbImage
from search.duplicates.geometry import Sketch, sketch

ReadBytes: TypeAlias = Callable[[str], bytes]
"""URI → bytes of the file; raises ImageError."""

SMALL_SIDE = 256
FINE_SIDE = 1280
_KEY = "picture"
_AHEAD = 16
_HELD_SKETCHES = 1500


class PictureLoader(Protocol):
    """Where pictures come from; tests give their own."""

    def small(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        """Each picture, upright, longer side at most 256 pixels; None where it cannot be read."""
        ...

    def fine(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        """The same, decoded in full, longer side at most 1,280."""
        ...


@dataclass(frozen=True, slots=True)
class Shrink:
    """uint8 [h, w, 3] → the same picture, longer side at most `side`; runs in decode workers."""

    side: int

    def __call__(self, pixels: RgbImage) -> RgbImage:
        longer = max(pixels.shape[:2])
        if longer <= self.side:
            return pixels
        size = [max(1, round(length * self.side / longer)) for length in pixels.shape[1::-1]]
        image = Image.fromarray(pixels)
        return np.asarray(image.resize((size[0], size[1]), Image.Resampling.BOX, reducing_gap=None))


class PooledLoader:
    """Reads with `read` and decodes in processes of its own. A context manager."""

    def __init__(
        self, read: ReadBytes, *, workers: int, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> None:
        self._read = read
        self._workers, self._limits = workers, limits
        self._pools: dict[int, DecodePool] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools.values():
            pool.close(drop=True)

    def small(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        return self._load(uris, SMALL_SIDE, min_side=SMALL_SIDE)

    def fine(self, uris: Sequence[str]) -> Iterator[RgbImage | None]:
        return self._load(uris, FINE_SIDE, min_side=None)

    def _load(
        self, uris: Sequence[str], side: int, *, min_side: int | None
    ) -> Iterator[RgbImage | None]:
        pool = self._pools.get(side)
        if pool is None:
            pool = self._pools[side] = DecodePool(
                self._workers,
                limits=self._limits,
                prepare={_KEY: Shrink(side)},
                min_side=min_side,
            )
        waiting: deque[Future[PreparedImage] | None] = deque()
        for uri in uris:
            waiting.append(self._submit(pool, uri))
            if len(waiting) >= _AHEAD:
                yield _picture(waiting.popleft())
        while waiting:
            yield _picture(waiting.popleft())

    def _submit(self, pool: DecodePool, uri: str) -> Future[PreparedImage] | None:
        try:
            return pool.submit(self._read(uri), uri)
        except ImageError:
            return None  # counted by the caller as a picture that cannot be looked at


def _picture(future: Future[PreparedImage] | None) -> RgbImage | None:
    if future is None:
        return None
    try:
        return future.result().arrays[_KEY]
    except ImageError:
        return None


class Sketches:
    """Sketches of images by row, the most recently used 1,500 of them held."""

    def __init__(self, loader: PictureLoader, uri_of: Callable[[int], str]) -> None:
        self._loader, self._uri_of = loader, uri_of
        self._held: OrderedDict[int, Sketch | None] = OrderedDict()
        self.unreadable: set[int] = set()

    def fetch(self, rows: Iterable[int]) -> None:
        """The sketches of these rows are held, up to the limit."""
        missing = [row for row in dict.fromkeys(rows) if row not in self._held]
        for row, pixels in zip(
            missing, self._loader.small([self._uri_of(row) for row in missing]), strict=True
        ):
            if pixels is None:
                self.unreadable.add(row)
            self._held[row] = None if pixels is None else sketch(pixels)
            while len(self._held) > _HELD_SKETCHES:
                self._held.popitem(last=False)

    def get(self, row: int) -> Sketch | None:
        """The sketch of a row; None when its picture cannot be read."""
        if row not in self._held:
            self.fetch([row])
        self._held.move_to_end(row)
        return self._held[row]
