"""Work over a whole collection, computed from its vectors: graph, clusters, copies, thumbnails.

All of it is derived: doing it again writes the same anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from indexer.pipeline import default_decode_workers
from indexer.sources import UriReader
from likeness.catalog.records import ImageRow, Space, SpaceState
from likeness.catalog.serving.work import NewWork
from likeness.errors import ImageError, QueryError
from likeness.imaging.pool import DecodePool, PreparedImage
from likeness.imaging.thumbnail_cache import ThumbnailCache, kept_side
from likeness.types import ImageState, Tower
from search.clusters.methods import Method, Size
from search.clusters.service import Clusterer, ClusterRequest
from search.duplicates.documents import report_document
from search.duplicates.finder import DuplicateRequest
from search.duplicates.opening import open_finder, side_of
from search.graph.keeper import current_graph, space_vectors
from workers.kinds import CPU, THUMBNAILS
from workers.leases import Held
from workers.process import WorkerProcess

_THUMBNAILS_AT_ONCE = 1000
_AHEAD = 64


def graph(process: WorkerProcess, held: Held) -> None:
    """The neighbour graph of every space that answers is up to date, beside its index."""
    runtime = process.runtime
    for space in _active(process, held.work.payload["collection"]):
        with space_vectors(runtime.catalog, space) as vectors:
            current_graph(space, vectors, runtime.index_dir(space), device=runtime.index_device)
        process.progressed()
    process.ledger.complete(held.work)


def clusters(process: WorkerProcess, held: Held) -> None:
    """A run of clusters is saved under its name, with what people decided about it."""
    payload, runtime = held.work.payload, process.runtime
    spaces = _active(process, payload["collection"])
    if not spaces:
        raise QueryError(f"collection {payload['collection']!r} has no images to cluster yet")
    words = next((space for space in spaces if Tower.TEXT in space.towers), None)
    clusterer = Clusterer(
        runtime.catalog,
        spaces[0],
        runtime.index_dir(spaces[0]),
        word_space=words,
        encoder_of=runtime.encoder_of,
        device=runtime.index_device,
        note=_progress_note(process),
    )
    known: dict[str, Any] = {
        name: payload[name] for name in ("name", "k", "random_seed") if name in payload
    }
    for name, kind in (("method", Method), ("size", Size)):
        if name in payload:
            known[name] = kind(payload[name])
    clusterer.run(ClusterRequest(**known))
    process.ledger.complete(held.work)


def duplicates(process: WorkerProcess, held: Held) -> None:
    """The groups of copies are written to `reports/` in the home, as `duplicates --json` prints."""
    runtime, collection = process.runtime, held.work.payload["collection"]
    side = side_of(runtime, collection)
    with (
        UriReader(process.indexer.limits) as reader,
        open_finder(runtime, side, reader.read, note=_progress_note(process)) as finder,
    ):
        report = finder.find(DuplicateRequest())
    document = {"collection": collection, **report_document(report, None)}
    path = process.settings.home / "reports" / f"duplicates-{side.space.collection_id}.json"
    _write(path, json.dumps(document))
    process.ledger.complete(held.work)


def thumbnails(process: WorkerProcess, held: Held) -> None:
    """Some of the collection's images have a thumbnail; the rest is further work."""
    payload, runtime = held.work.payload, process.runtime
    catalog, settings = runtime.catalog, process.settings
    collection = catalog.collection(payload["collection"])
    cache = ThumbnailCache(settings.thumbnails_root, max_bytes=settings.thumbnail_cache)
    side = kept_side(payload.get("side", 256))
    rows = catalog.list_images(
        collection.id,
        state=ImageState.READY,
        after_id=payload.get("after", 0),
        limit=_THUMBNAILS_AT_ONCE,
    )
    wanted = [row for row in rows if row.sha256 and cache.get(row.sha256, side) is None]
    workers = settings.decode_workers or default_decode_workers()
    with (
        UriReader(process.indexer.limits) as reader,
        DecodePool(workers, limits=runtime.limits, min_side=side, thumbnail_side=side) as pool,
    ):
        ahead: list[tuple[ImageRow, Future[PreparedImage]]] = []
        for row in wanted:
            try:
                ahead.append((row, pool.submit(reader.read(row.uri), row.path)))
            except ImageError:
                continue  # it cannot be read now: the service draws it when it is asked for
            if len(ahead) >= _AHEAD:
                _keep(cache, side, *ahead.pop(0))
                process.progressed()
        for row, future in ahead:
            _keep(cache, side, row, future)
    more = []
    if len(rows) == _THUMBNAILS_AT_ONCE:
        more = [NewWork(THUMBNAILS, CPU, {**payload, "after": rows[-1].id})]
    process.ledger.complete(held.work, add=more)


def _keep(cache: ThumbnailCache, side: int, row: ImageRow, future: Future[PreparedImage]) -> None:
    try:
        drawn = future.result().thumbnail
    except ImageError:
        return
    if drawn is not None:
        cache.put(row.sha256, side, drawn)


def _active(process: WorkerProcess, collection: str) -> list[Space]:
    catalog = process.runtime.catalog
    spaces = catalog.spaces(catalog.collection(collection).id)
    return [space for space in spaces if space.state is SpaceState.ACTIVE]


def _progress_note(process: WorkerProcess) -> Callable[[str], None]:
    def note(_text: str) -> None:
        process.progressed()

    return note


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
