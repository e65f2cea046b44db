"""Pictures in a service: those that callers send, and those that are stored.

Everything is decoded in worker processes that a hostile file cannot leave. Questions and thumbnails
have workers of their own, so that a page full of thumbnails does not hold up a search.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Future

import numpy as np
from starlette.concurrency import run_in_threadpool

from api.errors import FileUnreachable, UrlsAreOff
from indexer.limits import callers_limits, source_limits
from indexer.pipeline import default_decode_workers
from indexer.sources import read_uri
from indexer.sources.web import WebReader, is_url
from likeness.catalog.records import ImageRow
from likeness.errors import ImageTooLarge, UnreadableSource
from likeness.imaging.pool import DecodePool, PreparedImage
from likeness.imaging.shrink import Shrink
from likeness.imaging.thumbnail_cache import ThumbnailCache, kept_side
from likeness.imaging.thumbnails import thumbnail
from likeness.runtime import QUERY_MIN_SIDE, Runtime
from likeness.types import RgbImage

_LONGEST = 8 * QUERY_MIN_SIDE
_PIXELS = "pixels"


class Pictures:
    """Reads and decodes for one service; close it."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self._settings = settings
        self._limits = source_limits(settings)
        workers = settings.decode_workers or default_decode_workers()
        shrink = Shrink(QUERY_MIN_SIDE, _LONGEST)
        self._questions, self._thumbnails = (
            DecodePool(
                workers,
                limits=runtime.limits,
                prepare={_PIXELS: shrink},
                min_side=QUERY_MIN_SIDE,
            )
            for _ in range(2)
        )
        self._cache = ThumbnailCache(settings.thumbnails_root, max_bytes=settings.thumbnail_cache)
        self._web = WebReader(callers_limits(settings))

    def close(self) -> None:
        """End the workers."""
        self._questions.close(drop=True)
        self._thumbnails.close(drop=True)
        self._web.close()

    def warm(self) -> None:
        """The workers for questions are started."""
        side = np.full((8, 8, 3), 128, dtype=np.uint8)
        self._questions.submit(thumbnail(side, 8), "warm-up").result()

    async def decoded(self, data: bytes, name: str) -> RgbImage:
        """Pixels of a caller's picture, at most a few megapixels. Raises ImageError."""
        prepared = await asyncio.wrap_future(self._questions.submit(data, name))
        return prepared.arrays[_PIXELS]

    def load(self, data: bytes, name: str) -> RgbImage:
        """The same, for threads."""
        return self._questions.submit(data, name).result().arrays[_PIXELS]

    async def fetched(self, url: str) -> bytes:
        """The bytes behind a caller's URL. Raises UrlsAreOff, UnreadableSource, ImageTooLarge."""
        return await run_in_threadpool(self.fetch, url)

    def fetch(self, url: str) -> bytes:
        """The same, for threads."""
        self.check_url(url)
        return self._web.read(url)

    def check_url(self, url: str) -> None:
        """Raise for a URL that may not be fetched, before anything else is done."""
        if not self._settings.fetch_urls:
            raise UrlsAreOff(
                "this server does not fetch URLs; send the picture itself, or have its owner set "
                "LIKENESS_FETCH_URLS"
            )
        if not is_url(url):
            raise UnreadableSource(url[:200], "it is not an http or https URL")

    def original(self, row: ImageRow) -> bytes:
        """The bytes of a stored image, as they were when it was indexed. Raises FileUnreachable."""
        name = row.path
        try:
            data = read_uri(row.uri, limits=self._limits)
        except (UnreadableSource, ImageTooLarge) as error:
            raise FileUnreachable(f"{name}: {error.reason}; index its source again") from error
        if row.sha256 and hashlib.sha256(data).hexdigest() != row.sha256:
            raise FileUnreachable(f"{name}: it has changed since it was indexed; index it again")
        return data

    async def pixels(self, row: ImageRow) -> RgbImage:
        """Pixels of a stored image. Raises FileUnreachable, ImageError."""
        data = await run_in_threadpool(self.original, row)
        return await self.decoded(data, row.path)

    async def thumbnail(self, row: ImageRow, side: int) -> bytes:
        """WebP of a stored image, drawn anew; from the cache where it is kept."""
        kept = kept_side(side)
        if row.sha256:
            found = await run_in_threadpool(self._cache.get, row.sha256, kept)
            if found is not None:
                return found
        data = await run_in_threadpool(self.original, row)
        future: Future[PreparedImage] = self._thumbnails.submit(data, row.path)
        prepared = await asyncio.wrap_future(future)
        return await run_in_threadpool(self._draw, row, kept, prepared.arrays[_PIXELS])

    def _draw(self, row: ImageRow, side: int, pixels: RgbImage) -> bytes:
        data = thumbnail(pixels, side)
        if row.sha256:
            self._cache.put(row.sha256, side, data)
        return data
