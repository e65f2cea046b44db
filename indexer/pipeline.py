"""Indexing, end to end: scan → plan → read → route → decode → embed → write → publish.

Three threads and the decoder processes work at once: one thread plans, reads and feeds the
decoders, one embeds, the caller's commits. Everything between them is bounded and keeps its order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from indexer.embed import embed
from indexer.flow import Prefetch, look_ahead
from indexer.items import Decoded, Failure, Loaded, Prepared, Routed, Unchanged, Wanted
from indexer.load import InFlight, Router, load
from indexer.plan import SeenUris, plan, sweep
from indexer.progress import Progress
from indexer.sources import Source
from indexer.write import BatchWriter
from likeness.catalog import Catalog
from likeness.encoders.interface import Encoder
from likeness.errors import ImageError
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool, PreparedImage

_READERS = 4
_BYTES_AHEAD = 512 * 2**20


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How a run works; what it works on is given apart.

    batch_size: images per forward pass. prune: let go of a source's images even when the source
    is suddenly empty. retry_failed: read failed images again though they have not changed.
    """

    batch_size: int
    decode_workers: int
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    commit_rows: int = 1000
    commit_interval_s: float = 2.0
    retry_failed: bool = False
    prune: bool = False


class Pipeline:
    """Indexes sources into one collection, for all of its spaces at once.

    encoders: by space id; every new image gets an embedding in each.
    """

    def __init__(
        self,
        catalog: Catalog,
        collection_id: int,
        encoders: Mapping[int, Encoder],
        options: PipelineOptions,
        *,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._catalog = catalog
        self._collection_id = collection_id
        self._encoders = dict(encoders)
        self._options = options
        self._progress = progress
        self._stop = stop
        self._in_flight = InFlight()

    def run(self, sources: Sequence[Source]) -> bool:
        """Index the sources; True when they were exhausted, False when stopped before.

        Whatever was committed stays; running again goes on from there.
        """
        seen = SeenUris()
        with self._decoders() as pool, ThreadPoolExecutor(_READERS, "read") as readers:
            routed = self._routed(sources, seen, readers)
            self._settle(self._decoded(routed, pool))
        if self._stop.is_set():
            return False
        for source in sources:
            sweep(
                source,
                self._catalog,
                self._collection_id,
                seen=seen,
                progress=self._progress,
                prune=self._options.prune,
            )
        return True

    def run_loaded(self, loaded: Iterable[Loaded | Failure]) -> bool:
        """Decode, embed and store what was read elsewhere; as `run`, without scan and sweep."""
        with self._decoders() as pool:
            self._settle(self._decoded(self._until_stopped(loaded), pool))
        return not self._stop.is_set()

    def _routed(
        self, sources: Sequence[Source], seen: SeenUris, readers: ThreadPoolExecutor
    ) -> Iterator[Routed]:
        router = Router(
            self._catalog,
            self._collection_id,
            in_flight=self._in_flight,
            exists=lambda uri: all(source.exists(uri) for source in sources),
        )
        for source in sources:
            wanted = plan(
                source,
                self._catalog,
                self._collection_id,
                seen=seen,
                progress=self._progress,
                retry_failed=self._options.retry_failed,
                stop=self._stop,
            )
            yield from router.route(_loaded(wanted, source, readers))
        self._progress.scan_done = True

    def _decoded(self, routed: Iterable[Routed], pool: DecodePool) -> Iterator[Decoded]:
        def submit(item: Routed) -> Future[PreparedImage] | None:
            return pool.submit(item.data, item.source.path) if isinstance(item, Loaded) else None

        ahead = look_ahead(
            routed,
            submit,
            limit=max(2 * self._options.batch_size, 4 * self._options.decode_workers),
            weight=_held_bytes,
            weight_limit=_BYTES_AHEAD,
        )
        for item, future in ahead:
            if not isinstance(item, Loaded):
                yield item
                continue
            try:
                image = future.result() if future is not None else None
            except ImageError as error:
                yield Failure(item.source, error.code, str(error), item.filling)
            else:
                if image is not None:
                    yield Prepared(item.source, image, item.filling)

    def _settle(self, decoded: Iterable[Decoded]) -> None:
        batch_size = self._options.batch_size
        writer = BatchWriter(
            self._catalog,
            self._collection_id,
            in_flight=self._in_flight,
            progress=self._progress,
            rows=self._options.commit_rows,
            interval_s=self._options.commit_interval_s,
        )
        with ExitStack() as threads:
            prefetched = threads.enter_context(Prefetch(decoded, 2 * batch_size, "decode"))
            groups = embed(prefetched, self._encoders, batch_size=batch_size)
            try:
                for group in threads.enter_context(Prefetch(groups, 2, "embed")):
                    writer.add(group)
            finally:
                # What is embedded is worth keeping, also when a later stage failed.
                writer.flush()

    def _until_stopped(self, items: Iterable[Loaded | Failure]) -> Iterator[Loaded | Failure]:
        for item in items:
            if self._stop.is_set():
                return
            yield item

    @contextmanager
    def _decoders(self) -> Iterator[DecodePool]:
        encoders = self._encoders.values()
        with DecodePool(
            self._options.decode_workers,
            limits=self._options.limits,
            prepare={encoder.fingerprint: encoder.preprocess for encoder in encoders},
            min_side=max(encoder.preprocess.min_side for encoder in encoders),
            perceptual_hash=True,
        ) as pool:
            yield pool


def default_decode_workers() -> int:
    """One decoder per core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def _loaded(
    wanted: Iterable[Wanted | Unchanged], source: Source, readers: ThreadPoolExecutor
) -> Iterator[Loaded | Failure | Unchanged]:
    def submit(item: Wanted | Unchanged) -> Future[Loaded | Failure] | Unchanged:
        return item if isinstance(item, Unchanged) else readers.submit(load, item, source)

    for _, outcome in look_ahead(
        wanted, submit, limit=64, weight=_declared_bytes, weight_limit=_BYTES_AHEAD
    ):
        yield outcome.result() if isinstance(outcome, Future) else outcome


def _declared_bytes(item: Wanted | Unchanged) -> int:
    return item.item.size or 0 if isinstance(item, Wanted) else 0


def _held_bytes(item: Routed) -> int:
    return len(item.data) if isinstance(item, Loaded) else 0
