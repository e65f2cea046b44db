"""Indexing, end to end: scan → plan → read → route → decode → embed → write → publish.

Three threads and the decoder processes work at once: one thread plans, reads and feeds the
decoders, one embeds, the caller's commits. Everything between them is bounded and keeps its order.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Self

from indexer.admission import Gate
from indexer.embed import embed
from indexer.flow import Prefetch, look_ahead
from indexer.items import (
    Decoded,
    Ended,
    Failure,
    Lacking,
    Loaded,
    Piece,
    Prepared,
    Reference,
    Routed,
    Unchanged,
    Wanted,
)
from indexer.load import InFlight, Readable, Router, load, load_lacking, load_now
from indexer.plan import SeenUris, plan, sweep
from indexer.progress import Progress
from indexer.sources import Source
from indexer.write import BatchWriter
from likeness.catalog import Catalog
from likeness.encoders.interface import Encoder
from likeness.errors import ImageError
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool, PreparedImage
from likeness.telemetry.totals import TOTALS

_BYTES_AHEAD = 512 * 2**20
_IMAGES_AHEAD = 256


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How a run works; what it works on is given apart.

    batch_size: images per forward pass; None: as large as the encoders like. prune: let go of a
    source's images even when the source is suddenly empty. retry_failed: read failed images again
    though they have not changed. restore: bring back images that a person removed. readers: threads
    that read at once.
    """

    decode_workers: int
    batch_size: int | None = None
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    commit_rows: int = 1000
    commit_interval_s: float = 2.0
    retry_failed: bool = False
    restore: bool = False
    prune: bool = False
    readers: int = 4


class Pipeline:
    """Indexes sources into one collection, for all of its spaces at once.

    encoders: gives them by space id; called when the first image has to be embedded, so that a
    run with nothing to do loads no model. Every new image gets an embedding in each.
    """

    def __init__(
        self,
        catalog: Catalog,
        collection_id: int,
        encoders: Callable[[], Mapping[int, Encoder]],
        options: PipelineOptions,
        *,
        progress: Progress,
        stop: threading.Event,
        workshop: Workshop | None = None,
    ) -> None:
        """workshop: one that is warm already, and stays the caller's."""
        self._catalog = catalog
        self._collection_id = collection_id
        self._load_encoders = encoders
        self._workshop = workshop
        self._options = options
        self._progress = progress
        self._stop = stop
        self._in_flight = InFlight()

    def run(self, sources: Sequence[Source], *, gate: Gate | None = None) -> bool:
        """Index the sources; True when they were exhausted, False when stopped before.

        Whatever was committed stays; running again goes on from there. gate: keeps new images out
        that repeat another.
        """
        seen = SeenUris()
        with ThreadPoolExecutor(self._options.readers, "read") as readers:
            self._settle(self._routed(sources, seen, readers), gate=gate)
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
        self._settle(self._until_stopped(loaded))
        return not self._stop.is_set()

    def run_pieces(self, pieces: Iterable[Piece], source: Readable) -> None:
        """Index images by reference, a transaction per piece; as `run`, without scan and sweep.

        The next piece is asked for, read and decoded while the one before it is embedded.
        source: reads them all and says which URIs are still there.
        """
        router = Router(
            self._catalog,
            self._collection_id,
            in_flight=self._in_flight,
            exists=source.exists,
            restore=self._options.restore,
        )
        with ThreadPoolExecutor(self._options.readers, "read") as readers:
            loaded = _loaded(_references(pieces), source, readers, load_now)
            self._settle(router.route(loaded), pieces_only=True)

    def _routed(
        self, sources: Sequence[Source], seen: SeenUris, readers: ThreadPoolExecutor
    ) -> Iterator[Routed]:
        router = Router(
            self._catalog,
            self._collection_id,
            in_flight=self._in_flight,
            exists=lambda uri: all(source.exists(uri) for source in sources),
            restore=self._options.restore,
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

    def _settle(
        self, routed: Iterable[Routed], *, pieces_only: bool = False, gate: Gate | None = None
    ) -> None:
        writer = BatchWriter(
            self._catalog,
            self._collection_id,
            in_flight=self._in_flight,
            progress=self._progress,
            # A piece is committed when it ends, with its completion, and never in parts.
            rows=sys.maxsize if pieces_only else self._options.commit_rows,
            interval_s=math.inf if pieces_only else self._options.commit_interval_s,
        )
        with ExitStack() as opened:
            workshop = self._workshop or opened.enter_context(
                Workshop(self._load_encoders, self._options)
            )
            entering = _decoded(routed, workshop)
            if gate is not None:
                entering = gate.admitted(entering)
            decoded = opened.enter_context(Prefetch(entering, _IMAGES_AHEAD, "decode"))
            groups = embed(decoded, workshop)
            try:
                for group in opened.enter_context(Prefetch(groups, 2, "embed")):
                    writer.add(group)
            finally:
                # What is embedded is worth keeping, also when a later stage failed; but a piece is
                # stored whole or not at all.
                if not pieces_only:
                    writer.flush()

    def _until_stopped(self, items: Iterable[Loaded | Failure]) -> Iterator[Loaded | Failure]:
        for item in items:
            if self._stop.is_set():
                return
            yield item


class Workshop:
    """Encoders and decoder processes, started when the first image needs them; to be entered."""

    def __init__(
        self, load_encoders: Callable[[], Mapping[int, Encoder]], options: PipelineOptions
    ) -> None:
        self._load_encoders = load_encoders
        self._options = options
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    @cached_property
    def encoders(self) -> dict[int, Encoder]:
        return dict(self._load_encoders())

    @cached_property
    def batch_size(self) -> int:
        return self._options.batch_size or min(e.batch_size for e in self.encoders.values())

    @cached_property
    def pool(self) -> DecodePool:
        prepare = {encoder.fingerprint: encoder.preprocess for encoder in self.encoders.values()}
        return self._opened.enter_context(
            DecodePool(
                self._options.decode_workers,
                limits=self._options.limits,
                prepare=prepare,
                min_side=max(preprocess.min_side for preprocess in prepare.values()),
                perceptual_hash=True,
            )
        )


def _decoded(routed: Iterable[Routed], workshop: Workshop) -> Iterator[Decoded]:
    def submit(item: Routed) -> Future[PreparedImage] | None:
        if isinstance(item, Loaded):
            return workshop.pool.submit(item.data, item.source.path)
        return None

    ahead = look_ahead(
        routed, submit, limit=_IMAGES_AHEAD, weight=_held_bytes, weight_limit=_BYTES_AHEAD
    )
    for item, future in ahead:
        if not isinstance(item, Loaded):
            yield item
            continue
        assert future is not None
        began = time.perf_counter()
        try:
            image = future.result()
        except ImageError as error:
            TOTALS.took("decode", time.perf_counter() - began, 1)
            yield Failure(item.source, error.code, str(error), item.filling)
        else:
            TOTALS.took("decode", time.perf_counter() - began, 1)
            yield Prepared(item.source, image, item.filling)


def _references(pieces: Iterable[Piece]) -> Iterator[Reference]:
    for piece in pieces:
        yield from piece.items
        yield piece.end


def default_decode_workers() -> int:
    """One decoder per core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def _loaded(
    references: Iterable[Reference],
    source: Readable,
    readers: ThreadPoolExecutor,
    load: Callable[[Wanted, Readable], Loaded | Failure] = load,
) -> Iterator[Loaded | Failure | Unchanged | Ended]:
    def submit(item: Reference) -> Future[Loaded | Failure] | Unchanged | Ended:
        match item:
            case Wanted():
                return readers.submit(load, item, source)
            case Lacking():
                return readers.submit(load_lacking, item, source)
            case _:
                return item

    for _, outcome in look_ahead(
        references, submit, limit=64, weight=_declared_bytes, weight_limit=_BYTES_AHEAD
    ):
        yield outcome.result() if isinstance(outcome, Future) else outcome


def _declared_bytes(item: Reference) -> int:
    match item:
        case Wanted():
            return item.item.size or 0
        case Lacking():
            return item.image.size or 0
        case _:
            return 0


def _held_bytes(item: Routed) -> int:
    return len(item.data) if isinstance(item, Loaded) else 0
