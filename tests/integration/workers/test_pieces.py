"""Pieces of queued work are settled whole, however small or slow transactions are otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from indexer.items import Ended, Failure, Piece, Wanted
from indexer.plan import SeenUris
from indexer.progress import Progress
from indexer.queued import QueuedIndexer, request_document, request_from
from indexer.references import unpack_reference
from indexer.service import IndexRequest
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, CommitResult
from likeness.settings import load_settings
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.system.indexing_run import SlowEncoder


def settle_into(
    catalog: Catalog, collection_id: int, settled: list[tuple[int, Mapping[str, int]]]
) -> Ended:
    """Commits as a worker does, and notes the size of each batch with what it gained."""

    def settle(
        batch: Batch,
        gained: Callable[[CommitResult], Mapping[str, int]],
        failures: Sequence[Failure],
    ) -> CommitResult:
        result = catalog.commit_batch(collection_id, batch)
        settled.append((len(batch.items), gained(result)))
        return result

    return Ended(settle)


def test_a_piece_is_one_transaction_though_it_takes_longer_than_an_image_may_wait(
    tmp_path: Path,
) -> None:
    write_pictures(tmp_path / "photos", 22)
    settings = load_settings(
        home=tmp_path / "home", decode_workers=1, commit_rows=2, commit_interval_s=0.01
    )
    request = request_from(
        request_document(IndexRequest("default", sources=[str(tmp_path / "photos")]))
    )
    pages: list[list[Wanted]] = []
    settled: list[tuple[int, Mapping[str, int]]] = []
    with FakeRuntime(settings, SlowEncoder(0.03)) as runtime:
        indexer = QueuedIndexer(runtime)
        collection = indexer.prepare(request, Progress())
        indexer.scan(
            request,
            handed_out=SeenUris(),
            hand_out=lambda page: pages.append([unpack_reference(p) for p in page]),
            piece_images=10,
            progress=Progress(),
            stop=threading.Event(),
        )
        assert [len(page) for page in pages] == [10, 10, 2]
        end = settle_into(runtime.catalog, collection.id, settled)
        indexer.embed_pieces(
            "default",
            [Piece(page, end) for page in pages],
            restore=False,
            space_id=None,
            progress=Progress(),
        )
        indexer.close()
        assert [size for size, _ in settled] == [10, 10, 2]
        assert sum(gained["stored"] for _, gained in settled) == 22
        assert runtime.catalog.counts(collection.id).ready == 22
