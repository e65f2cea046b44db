"""The pieces that jobs consist of."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.uploads import Upload
from likeness.catalog.serving.work import NewWork
from workers.kinds import CPU, EMBED, FETCH, GAPS, GPU, IO, PREPARE, PUBLISH, SCAN, URGENT

_URLS = 16
"""Of one piece: with slow servers, this many take minutes."""


def index_work(collection: str, *, has_space: bool, priority: int) -> list[NewWork]:
    """What an index job begins with, and what waits for its embeddings."""
    first = NewWork(SCAN, IO, priority=priority)
    if not has_space:
        first = NewWork(PREPARE, GPU, {"then": SCAN}, priority=priority)
    return [
        first,
        NewWork(GAPS, IO, stage=1, priority=priority),
        *publish_work(collection, stage=2),
    ]


def upload_work(uploads: Sequence[Upload], piece_images: int) -> list[NewWork]:
    """Pieces that add uploads. One that was removed comes back: sending it says it is wanted."""
    items = []
    for upload in {upload.uri: upload for upload in uploads}.values():
        facts = upload.path.stat()
        items.append(
            [upload.uri, str(upload.path), facts.st_size, facts.st_mtime_ns, dict(upload.fields)]
        )
    return [
        NewWork(
            EMBED,
            GPU,
            {"restore": True, "items": items[start : start + piece_images]},
            images=len(items[start : start + piece_images]),
            priority=URGENT,
        )
        for start in range(0, len(items), piece_images)
    ]


def publish_work(collection: str, *, stage: int) -> list[NewWork]:
    """What renews the collection's indexes, if they have fallen behind, once all else is done."""
    return [NewWork(PUBLISH, CPU, {"collection": collection}, stage=stage)]


def with_stage(piece: NewWork, stage: int) -> NewWork:
    """The same piece, waiting until the stages before it are done."""
    return NewWork(
        piece.kind, piece.queue, piece.payload, piece.images, piece.key, stage, piece.priority
    )


def fetch_work(urls: Sequence[str]) -> list[NewWork]:
    """Pieces that fetch pictures."""
    parts = [list(urls[start : start + _URLS]) for start in range(0, len(urls), _URLS)]
    return [NewWork(FETCH, IO, {"urls": part}, images=len(part), priority=URGENT) for part in parts]
