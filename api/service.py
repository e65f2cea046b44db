"""The live objects behind the routes, and the few things that routes do with them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.batching import SearchBatcher
from api.encoders import WarmEncoders
from api.index_metrics import IndexMetrics
from api.ingest import Ingest
from api.metrics import Metrics
from api.pictures import Pictures
from api.queued_ingest import open_ingest
from indexer.compaction import Compactor
from indexer.service import Indexer
from likeness.catalog import Catalog
from likeness.catalog.records import Collection, ImageRow, SpaceState
from likeness.catalog.serving.facets import Facet, facets
from likeness.catalog.serving.jobs import Jobs
from likeness.catalog.serving.keys import ApiKeys
from likeness.catalog.serving.spaces import all_spaces
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import Backlog
from likeness.catalog.where import parse_where
from likeness.errors import CatalogError, ImageNotFound, LikenessError, UnreadableSource
from likeness.runtime import Runtime
from likeness.telemetry.exposition import QueueCollector, TotalsCollector
from search.graph.reading import StoredGraphs
from search.request import SearchRequest
from search.response import SearchResponse
from search.service import Searcher

log = logging.getLogger(__name__)

_FACETS_KEPT = 100

T = TypeVar("T")


class Service:
    """What one app serves from. Opened and closed within the app's event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.settings = runtime.settings
        self.catalog: Catalog = runtime.catalog
        self.metrics = Metrics()
        self.jobs, self.keys = Jobs(self.catalog), ApiKeys(self.catalog)
        self.pictures = Pictures(runtime)
        self.encoders = WarmEncoders(runtime, lambda: self.batcher.lanes_at_work > 1)
        self.ingest: Ingest = open_ingest(runtime, self.pictures, self.jobs, self.metrics)
        self.stopping = False
        self._facets: dict[tuple[int, str], tuple[int, list[Facet]]] = {}
        self.searcher = Searcher(
            self.catalog,
            index_dir=runtime.index_dir,
            encoder_of=self.encoders.of,
            load_image=self.pictures.load,
            read_image=self._bytes_for_reranking,
            graph_of=StoredGraphs(runtime.index_dir).of,
            index_server=self.settings.index_url,
            index_device=runtime.index_device,
        )
        self._compactor: Compactor | None = None
        if self.settings.index_interval_s:
            interval_s = self.settings.index_interval_s
            self._compactor = Indexer(runtime).compactor_of_all(interval_s)
        self.batcher = SearchBatcher(
            self._search_many,
            wait_s=self.settings.batch_wait_s,
            most=self.settings.batch_queries,
            timeout_s=self.settings.request_timeout_s,
            observe=self.metrics.batch_sizes.observe,
        )
        self.metrics.registry.register(TotalsCollector())
        if self.settings.broker_url:
            self.metrics.registry.register(QueueCollector(self._backlog))
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)
        self.metrics.registry.register(
            IndexMetrics(self.catalog, lambda space: self.searcher.reader(space).tail_rows)
        )
        self.trouble: str | None = "indexes and encoders are being loaded"
        self._warming = threading.Thread(target=self._warm, name="warm-up", daemon=True)

    def start(self) -> None:
        """Load indexes and encoders beside, so that the service answers /healthz meanwhile."""
        self._warming.start()

    async def wait_until_ready(self) -> None:
        """For tests and benchmarks; `trouble` says how it went."""
        await asyncio.get_running_loop().run_in_executor(None, self._warming.join)

    async def close(self) -> None:
        self.stopping = True
        await self.batcher.close()
        await run_in_threadpool(self._close)

    def _close(self) -> None:
        if self._warming.ident is not None:
            self._warming.join()
        if self._compactor is not None:
            self._compactor.close()
        self.ingest.close()
        self.searcher.close()
        self.pictures.close()

    # ---------------------------------------------------------------- what routes ask for

    async def search(self, collection: str, request: SearchRequest) -> SearchResponse:
        """The answer, together with other questions that are here. Raises as Searcher does."""
        response = await self.batcher.search(collection, request)
        for stage, ms in response.timings_ms.items():
            self.metrics.stage_seconds.labels(stage).observe(ms / 1000)
        return response

    async def run_slow(self, work: Callable[[], T]) -> T:
        """What work returns, done in a thread beside the searches. Raises Busy, TookTooLong."""
        return await self.batcher.run_slow(work)

    def collection(self, name: str) -> Collection:
        """Raises CollectionNotFound."""
        return self.catalog.collection(name)

    def facets(self, collection: str, where: str | None = None) -> list[Facet]:
        """Counted once per filter and revision. Raises CollectionNotFound, WhereError."""
        known = self.collection(collection)
        asked = (where or "").strip()
        kept = self._facets.get((known.id, asked))
        if kept is None or kept[0] != known.revision:
            condition = parse_where(asked) if asked else None
            kept = (known.revision, facets(self.catalog, known.id, condition))
            if len(self._facets) >= _FACETS_KEPT:
                self._facets.clear()
            self._facets[known.id, asked] = kept
        return kept[1]

    def image(self, collection: str, image_id: int) -> ImageRow:
        """Whatever its state. Raises CollectionNotFound, ImageNotFound."""
        known = self.collection(collection)
        row = self.catalog.images(known.id, [image_id]).get(image_id)
        if row is None:
            raise ImageNotFound(image_id, collection)
        return row

    # ---------------------------------------------------------------- inside

    def _backlog(self) -> list[Backlog]:
        """For Prometheus, which is told nothing while the database cannot be asked."""
        try:
            return Upkeep(self.catalog).backlog()
        except CatalogError:
            log.exception("the ledger could not be asked")
            return []

    def _search_many(
        self, collection: str, requests: Sequence[SearchRequest]
    ) -> list[SearchResponse]:
        return self.searcher.search_many(collection, requests)

    def _bytes_for_reranking(self, row: ImageRow) -> bytes:
        try:
            return self.pictures.original(row)
        except LikenessError as error:
            raise UnreadableSource(row.path, str(error)) from error

    def _warm(self) -> None:
        try:
            self.pictures.warm()
            self.ingest.settle_lost_jobs()
            for space in all_spaces(self.catalog):
                if space.state is SpaceState.ACTIVE:
                    self.encoders.warm(space)
                    self.searcher.reader(space).view()
        except LikenessError as error:
            self.trouble = str(error)
            log.exception("the service is not ready")
        except Exception as error:  # a thread's edge: recorded, and shown by /readyz
            self.trouble = f"{type(error).__name__}: {error}"
            log.exception("the service is not ready")
        else:
            self.trouble = None
            self.metrics.ready.set(1)
            if self._compactor is not None and not self.stopping:
                self._compactor.start()

    def check_catalog(self) -> str | None:
        """What keeps the database from answering, or None."""
        try:
            all_spaces(self.catalog)
        except CatalogError as error:
            return str(error)
        return None


async def service_of(request: Request) -> Service:
    """The service of the app that this request came to.

    Asynchronous, as all dependencies here: FastAPI sends others through a thread.
    """
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]
