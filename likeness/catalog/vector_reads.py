"""Reading vectors back: from chunks, each read and checked once, into one array.

The large reads (ids, chunk, slot as tuples) go through the driver's own cursor: SQLAlchemy's row
objects would cost several times what the database itself does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, select

from likeness.catalog.chunks import ChunkUnreadableError, decode_chunk
from likeness.catalog.engine import fetch, integers, reading
from likeness.catalog.schema import CollectionRow, EmbeddingRow, SpaceRow
from likeness.errors import CatalogError
from likeness.telemetry import pulse
from likeness.types import ImageIds, StoredVectors

CACHE_BYTES = 64 << 20
"""Of decoded chunks that a reader keeps, so that twins in old chunks do not read them again."""

_CHUNKS_PER_READ = 16

Places = npt.NDArray[np.int64]
"""int64 [n, 3]: image id, chunk id, slot; ascending image ids."""


class ChunkReader:
    """Gathers vectors of one space. Thread-safe; keeps the chunks used last."""

    def __init__(self, space_id: int, dim: int, cache_bytes: int = CACHE_BYTES) -> None:
        self._space_id, self._dim, self._limit = space_id, dim, cache_bytes
        self._chunks: OrderedDict[int, StoredVectors] = OrderedDict()
        self._held, self._lock = 0, threading.Lock()

    def gather(self, connection: Connection, places: Places) -> StoredVectors:
        """Return float16 [n, d] of places, in their order.

        Raises CatalogError for a damaged or missing chunk, naming it and its images.
        """
        out = np.empty((len(places), self._dim), dtype=np.float16)
        if not len(places):
            return out
        chunk_ids, slots = places[:, 1], places[:, 2]
        order = np.argsort(chunk_ids, kind="stable")
        unique, starts = np.unique(chunk_ids[order], return_index=True)
        rows_of = dict(zip(unique.tolist(), np.split(order, starts[1:]), strict=True))
        for chunk_id, chunk in self._read(connection, unique.tolist()):
            rows = rows_of[chunk_id]
            wanted = slots[rows]
            if wanted.max() >= len(chunk):
                raise self._damaged(connection, chunk_id, f"it has no slot {wanted.max()}")
            first, n = int(wanted[0]), len(wanted)
            run = rows[-1] - rows[0] == n - 1 and bool((np.diff(wanted) == 1).all())
            if run:  # the usual case, a batch read in its order: one copy instead of a gather
                out[rows[0] : rows[0] + n] = chunk[first : first + n]
            else:
                out[rows] = chunk[wanted]
        return out

    def _read(
        self, connection: Connection, chunk_ids: list[int]
    ) -> Iterator[tuple[int, StoredVectors]]:
        missing = []
        for chunk_id in chunk_ids:
            with self._lock:
                chunk = self._chunks.get(chunk_id)
                if chunk is not None:
                    self._chunks.move_to_end(chunk_id)
            if chunk is None:
                missing.append(chunk_id)
            else:
                yield chunk_id, chunk
        for start in range(0, len(missing), _CHUNKS_PER_READ):
            group = missing[start : start + _CHUNKS_PER_READ]
            marks = ", ".join("?" * len(group))
            sql = f"SELECT id, data FROM chunks WHERE id IN ({marks})"  # noqa: S608 (marks only)
            found = set()
            for chunk_id, blob in fetch(connection, sql, group):
                found.add(chunk_id)
                try:
                    chunk = decode_chunk(bytes(blob), dim=self._dim)
                except ChunkUnreadableError as error:
                    raise self._damaged(connection, chunk_id, str(error)) from error
                self._keep(chunk_id, chunk)
                yield chunk_id, chunk
            if lost := set(group) - found:
                raise self._damaged(connection, min(lost), "it is missing")

    def _keep(self, chunk_id: int, chunk: StoredVectors) -> None:
        with self._lock:
            if chunk_id not in self._chunks:
                self._chunks[chunk_id] = chunk
                self._held += chunk.nbytes
            while self._held > self._limit and len(self._chunks) > 1:
                self._held -= self._chunks.popitem(last=False)[1].nbytes

    def _damaged(self, connection: Connection, chunk_id: int, reason: str) -> CatalogError:
        e = EmbeddingRow
        statement = (
            select(e.image_id)
            .where(e.chunk_id == chunk_id, e.space_id == self._space_id)
            .order_by(e.image_id)
        )
        image_ids = list(connection.execute(statement).scalars())
        return DamagedChunkError(chunk_id, self._space_id, image_ids, reason)


class DamagedChunkError(CatalogError):
    """A chunk whose vectors are lost. image_ids: the images that must be embedded again."""

    def __init__(self, chunk_id: int, space_id: int, image_ids: Sequence[int], reason: str) -> None:
        self.chunk_id, self.space_id, self.reason = chunk_id, space_id, reason
        self.image_ids = tuple(image_ids)
        shown = ", ".join(str(i) for i in self.image_ids[:10])
        more = f" and {len(self.image_ids) - 10} more" if len(self.image_ids) > 10 else ""
        super().__init__(
            f"chunk {chunk_id} of space {space_id} is damaged: {reason}. It held the vectors of "
            f"images {shown}{more}; restore a backup of the catalog, or embed them again with "
            "`likeness reindex`"
        )


def stream(
    engine: Engine,
    reader: ChunkReader,
    space_id: int,
    *,
    up_to_revision: int | None,
    after_image_id: int | None,
    rows: int,
) -> Iterator[tuple[ImageIds, StoredVectors]]:
    """Yield (ids int64 [n] ascending, float16 [n, d]) of the ready images of a space.

    up_to_revision: leaves out embeddings of later commits; None: of commits after this call's
    first page. Pages are read in transactions of their own, so that a slow consumer holds up
    nobody; what happens between them has a later revision and is in `changes_since`.
    """
    after = -1 if after_image_id is None else after_image_id
    while True:
        with reading(engine) as connection:
            if up_to_revision is None:
                up_to_revision = revision_of(connection, space_id)
            found = fetch(
                connection,
                "SELECT image_id, chunk_id, slot FROM embeddings WHERE space_id = ? AND "
                "image_id > ? AND revision <= ? ORDER BY image_id LIMIT ?",
                [space_id, after, up_to_revision, rows],
            ).fetchall()
            if not found:
                return
            places = _places(found)
            n, after = len(places), int(places[-1, 0])
            places = _ready_only(connection, space_id, places)
            vectors = reader.gather(connection, places)
        pulse.beat()
        if len(places):
            yield np.ascontiguousarray(places[:, 0]), vectors
        if n < rows:
            return


def places_of(connection: Connection, space_id: int, image_ids: Sequence[int]) -> Places:
    """Return the places of those images that have an embedding in the space."""
    e = EmbeddingRow
    statement = (
        select(e.image_id, e.chunk_id, e.slot)
        .where(e.space_id == space_id, e.image_id.in_(integers(connection, image_ids)))
        .order_by(e.image_id)
    )
    return _places([tuple(row) for row in connection.execute(statement)])


def changed_places(
    connection: Connection, space_id: int, after: int, up_to: int
) -> tuple[Places, ImageIds]:
    """Return the places of ready images with an embedding of a revision in (after, up_to], and
    the ids of images changed in it that must not be found (gone, or failed)."""
    added = fetch(
        connection,
        "SELECT e.image_id, e.chunk_id, e.slot FROM embeddings e JOIN images i ON i.id = e.image_id"
        " WHERE e.space_id = ? AND e.revision > ? AND e.revision <= ? AND i.state = 'ready'",
        [space_id, after, up_to],
    ).fetchall()
    dead = fetch(
        connection,
        "SELECT i.id FROM images i JOIN spaces s ON s.collection_id = i.collection_id JOIN "
        "embeddings e ON e.space_id = s.id AND e.image_id = i.id WHERE s.id = ? AND "
        "i.revision > ? AND i.revision <= ? AND i.state <> 'ready'",
        [space_id, after, up_to],
    ).fetchall()
    places = _places(added)
    dead_ids = np.sort(np.array(dead, dtype=np.int64).reshape(-1))
    return places[np.argsort(places[:, 0])], dead_ids


def count_changes(connection: Connection, space_id: int, after: int, up_to: int) -> tuple[int, int]:
    """How many images `changed_places` would name as added and as dead."""
    added = fetch(
        connection,
        "SELECT COUNT(*) FROM embeddings e JOIN images i ON i.id = e.image_id"
        " WHERE e.space_id = ? AND e.revision > ? AND e.revision <= ? AND i.state = 'ready'",
        [space_id, after, up_to],
    ).fetchone()[0]
    dead = fetch(
        connection,
        "SELECT COUNT(*) FROM images i JOIN spaces s ON s.collection_id = i.collection_id JOIN "
        "embeddings e ON e.space_id = s.id AND e.image_id = i.id WHERE s.id = ? AND "
        "i.revision > ? AND i.revision <= ? AND i.state <> 'ready'",
        [space_id, after, up_to],
    ).fetchone()[0]
    return int(added), int(dead)


def _ready_only(connection: Connection, space_id: int, places: Places) -> Places:
    # By subtraction: an index over state names the few that are not ready; joining would read
    # every image's row.
    hidden = fetch(
        connection,
        "SELECT i.id FROM spaces s JOIN images i ON i.collection_id = s.collection_id WHERE "
        "s.id = ? AND i.state IN ('gone', 'failed', 'pending') AND i.id >= ? AND i.id <= ?",
        [space_id, int(places[0, 0]), int(places[-1, 0])],
    ).fetchall()
    if not hidden:
        return places
    mask = np.isin(places[:, 0], np.array(hidden, dtype=np.int64).reshape(-1), invert=True)
    return places[mask]


def _places(rows: Sequence[tuple[Any, ...]]) -> Places:
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def revision_of(connection: Connection, space_id: int) -> int:
    statement = (
        select(CollectionRow.revision)
        .join(SpaceRow, SpaceRow.collection_id == CollectionRow.id)
        .where(SpaceRow.id == space_id)
    )
    revision = connection.execute(statement).scalar()
    if revision is None:
        raise CatalogError(f"there is no space {space_id}")
    return revision
