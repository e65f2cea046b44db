"""The catalog: what is known of collections, images and their embeddings.

Each method is one transaction. A batch is committed whole or not at all, and is on disk when the
call returns. Revisions order the commits of a collection: what has a revision up to R is what was
there when R was the collection's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine

from likeness.catalog import changes, image_reads, snapshots, vector_reads
from likeness.catalog import collections as collection_rows
from likeness.catalog.commit.commit import commit_batch
from likeness.catalog.engine import make_engine, parse_url, reading, refresh_statistics, writing
from likeness.catalog.migrate import migrate
from likeness.catalog.records import (
    Batch,
    Changes,
    Collection,
    CollectionSummary,
    CommitResult,
    Counts,
    Head,
    ImageRow,
    KnownImage,
    SnapshotRow,
    Space,
    SpaceState,
)
from likeness.catalog.vector_reads import ChunkReader
from likeness.catalog.where import Where
from likeness.catalog.where.sql import compile_where
from likeness.types import ImageIds, ImageState, StoredVectors, Tower

DEFAULT_ROWS = 65_536

T = TypeVar("T")


class Catalog:
    """Thread-safe; holds one engine. A context manager: it closes itself."""

    def __init__(self, engine: Engine) -> None:
        """Use `Catalog.open`."""
        self._engine = engine
        self._heads = snapshots.HeadReader(engine)
        self._readers: dict[int, ChunkReader] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Catalog:
        """Open the database at url, made or brought to this version's schema first.

        Safe when several processes do so at once. Raises SettingsError for a URL that cannot hold
        a catalog, CatalogError when the database is newer than this code or cannot be used.
        """
        engine = make_engine(parse_url(url))
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def engine(self) -> Engine:
        """For the other modules of this package, which keep tables of their own."""
        return self._engine

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- collections and spaces

    def create_collection(self, name: str) -> Collection:
        """The collection exists; the one that was there already is returned as it is."""
        with writing(self._engine) as connection:
            return collection_rows.create_collection(connection, name)

    def collection(self, name: str) -> Collection:
        """Raises CollectionNotFound."""
        with reading(self._engine) as connection:
            return collection_rows.collection(connection, name)

    def collections(self) -> list[CollectionSummary]:
        """Every collection by name, with counts and spaces."""
        with reading(self._engine) as connection:
            return collection_rows.summaries(connection)

    def drop_collection(self, name: str) -> None:
        """Nothing of the collection is left in the catalog. Raises CollectionNotFound."""
        with writing(self._engine) as connection:
            collection_rows.drop_collection(connection, name)

    def ensure_space(
        self,
        collection_id: int,
        *,
        encoder: str,
        fingerprint: str,
        dim: int,
        towers: frozenset[Tower],
        state: SpaceState = SpaceState.ACTIVE,
    ) -> Space:
        """The collection has a space of this fingerprint; the one that was there is returned.

        state: of a new space; one that was there keeps its own.
        """
        with writing(self._engine) as connection:
            return collection_rows.ensure_space(
                connection,
                collection_id,
                encoder=encoder,
                fingerprint=fingerprint,
                dim=dim,
                towers=towers,
                state=state,
            )

    def spaces(self, collection_id: int) -> list[Space]:
        """The collection's spaces, oldest first."""
        with reading(self._engine) as connection:
            return collection_rows.spaces(connection, collection_id)

    # ---------------------------------------------------------------- for scans

    def known_by_uri(self, collection_id: int, uris: Sequence[str]) -> dict[str, KnownImage]:
        """The live rows at those places, by uri."""
        with reading(self._engine) as connection:
            return image_reads.known_by_uri(connection, collection_id, list(uris))

    def known_by_hash(
        self, collection_id: int, sha256s: Sequence[str]
    ) -> dict[str, list[KnownImage]]:
        """The rows with those bytes, live and gone, by SHA-256."""
        with reading(self._engine) as connection:
            return image_reads.known_by_hash(connection, collection_id, list(sha256s))

    def live_uris(
        self, collection_id: int, prefix: str, after: str | None, limit: int
    ) -> list[tuple[int, str, str]]:
        """A page of live rows as (image id, uri, path), by uri in bytewise order.

        prefix: of the uri. after: the last uri of the page before, or None.
        """
        with reading(self._engine) as connection:
            return image_reads.live_uris(connection, collection_id, prefix, after, limit)

    def missing_in_space(
        self, collection_id: int, space_id: int, after_id: int, limit: int
    ) -> list[KnownImage]:
        """A page of ready images without an embedding in the space, by id."""
        with reading(self._engine) as connection:
            return image_reads.missing_in_space(
                connection, collection_id, space_id, after_id, limit
            )

    # ---------------------------------------------------------------- writes

    def commit_batch(
        self,
        collection_id: int,
        batch: Batch,
        *,
        first: Callable[[Connection], None] | None = None,
        last: Callable[[Connection, CommitResult], None] | None = None,
    ) -> CommitResult:
        """The batch is stored, on disk, all of it. Doing it again changes nothing.

        first, last: for the other modules of this package: more that the same transaction does,
        before and after; when one of them raises, nothing is written.
        Raises VectorError for a vector that would spoil its neighbours, CatalogError for a space
        or image of another collection, ValueError for items that contradict the rows they name;
        nothing is written then.
        """
        with writing(self._engine) as connection:
            if first is not None:
                first(connection)
            result = commit_batch(connection, collection_id, batch)
            if last is not None:
                last(connection, result)
        if len(result.skipped) < len(batch.items) and _is_power_of_four(result.revision):
            refresh_statistics(self._engine)
        return result

    def mark_gone(
        self, collection_id: int, image_ids: Iterable[int], *, reason_code: str | None = None
    ) -> int:
        """The images are hidden from every answer; how many were not before.

        reason_code: why, for whoever meets them again; REMOVED when a person took them out.
        """
        chosen = [int(i) for i in image_ids]
        with writing(self._engine) as connection:
            return changes.mark_gone(connection, collection_id, chosen, reason_code)

    def touch(self, collection_id: int, rows: Iterable[tuple[int, int | None, int | None]]) -> None:
        """Rows of (image id, size, mtime_ns): seen again with the same content."""
        with writing(self._engine) as connection:
            changes.touch(connection, collection_id, list(rows))

    def set_tags(self, collection_id: int, image_ids: Iterable[int], tags: Iterable[str]) -> None:
        """The images have these tags and no others. Raises ImageNotFound."""
        with writing(self._engine) as connection:
            changes.set_tags(connection, collection_id, list(image_ids), tags)

    def add_tags(self, collection_id: int, image_ids: Iterable[int], tags: Iterable[str]) -> None:
        """The images have these tags besides their others. Raises ImageNotFound."""
        with writing(self._engine) as connection:
            changes.add_tags(connection, collection_id, list(image_ids), tags)

    def remove_tags(
        self, collection_id: int, image_ids: Iterable[int], tags: Iterable[str]
    ) -> None:
        """The images do not have these tags. Raises ImageNotFound."""
        with writing(self._engine) as connection:
            changes.remove_tags(connection, collection_id, list(image_ids), tags)

    def forget_embeddings(self, space_id: int, image_ids: Iterable[int]) -> int:
        """Those images count as missing in the space again, to be embedded anew; how many.

        The way out of a damaged chunk: `DamagedChunkError.image_ids` names them.
        """
        with writing(self._engine) as connection:
            return changes.forget_embeddings(connection, space_id, [int(i) for i in image_ids])

    # ---------------------------------------------------------------- vectors

    def head(self, collection_id: int, space_id: int) -> Head:
        """Where the collection and the space's index stand; one cheap query."""
        return self._heads.head(collection_id, space_id)

    def changes_since(self, space_id: int, revision: int) -> Changes:
        """What a reader that knows everything up to revision lacks, as of one moment."""
        with reading(self._engine) as connection:
            now = vector_reads.revision_of(connection, space_id)
            places, dead = vector_reads.changed_places(connection, space_id, revision, now)
            vectors = self._reader(connection, space_id).gather(connection, places)
        return Changes(now, np.ascontiguousarray(places[:, 0]), vectors, dead)

    def count_changes(self, space_id: int, revision: int) -> tuple[int, int]:
        """How many images `changes_since` would give as added and as dead; reads no vectors."""
        with reading(self._engine) as connection:
            now = vector_reads.revision_of(connection, space_id)
            return vector_reads.count_changes(connection, space_id, revision, now)

    def stream_vectors(
        self,
        space_id: int,
        *,
        up_to_revision: int | None = None,
        after_image_id: int | None = None,
        rows: int = DEFAULT_ROWS,
    ) -> Iterator[tuple[ImageIds, StoredVectors]]:
        """Yield (image ids int64 [n] ascending, vectors float16 [n, d]) of the ready images.

        n is at most rows. up_to_revision: leaves later embeddings out; None: everything that is
        there when the first page is read.
        """
        with reading(self._engine) as connection:
            reader = self._reader(connection, space_id)
        return vector_reads.stream(
            self._engine,
            reader,
            space_id,
            up_to_revision=up_to_revision,
            after_image_id=after_image_id,
            rows=rows,
        )

    def vectors(
        self, space_id: int, image_ids: Sequence[int] | ImageIds
    ) -> tuple[ImageIds, StoredVectors]:
        """(ids int64 [n] ascending, float16 [n, d]) of those images that have one here."""
        with reading(self._engine) as connection:
            reader = self._reader(connection, space_id)
            places = vector_reads.places_of(connection, space_id, [int(i) for i in image_ids])
            return np.ascontiguousarray(places[:, 0]), reader.gather(connection, places)

    def chunks_digest(self, space_id: int, up_to_revision: int) -> str:
        """SHA-256, hex, over the ids and checksums of the chunks up to a revision."""
        with reading(self._engine) as connection:
            return snapshots.chunks_digest(connection, space_id, up_to_revision)

    def _reader(self, connection: Connection, space_id: int) -> ChunkReader:
        with self._lock:
            known = self._readers.get(space_id)
        if known is not None:
            return known
        dim = collection_rows.space(connection, space_id).dim
        with self._lock:
            return self._readers.setdefault(space_id, ChunkReader(space_id, dim))

    # ---------------------------------------------------------------- images

    def images(
        self, collection_id: int, image_ids: Sequence[int] | ImageIds
    ) -> dict[int, ImageRow]:
        """Everything known of those images that are in the collection, by id."""
        with reading(self._engine) as connection:
            return image_reads.images(connection, collection_id, [int(i) for i in image_ids])

    def list_images(
        self,
        collection_id: int,
        *,
        where: Where | None = None,
        state: ImageState | None = None,
        after_id: int = 0,
        limit: int = 1000,
    ) -> list[ImageRow]:
        """A page of the collection's images, by id. state: None for every state, gone included.

        Raises WhereError for a field that the collection does not have.
        """
        with reading(self._engine) as connection:
            return image_reads.list_images(
                connection,
                collection_id,
                condition=self._condition(connection, collection_id, where),
                state=state,
                after_id=after_id,
                limit=limit,
            )

    def filter_ids(self, collection_id: int, where: Where | None = None) -> ImageIds:
        """The ids of the ready images that meet where, int64, ascending. Raises WhereError."""
        with reading(self._engine) as connection:
            condition = self._condition(connection, collection_id, where)
            return image_reads.filter_ids(connection, collection_id, condition)

    def _condition(
        self, connection: Connection, collection_id: int, where: Where | None
    ) -> ColumnElement[bool] | None:
        if where is None:
            return None
        names = image_reads.column_names(connection, collection_id) if where.columns else []
        return compile_where(where, columns=names, dialect=connection.dialect.name)

    def counts(self, collection_id: int) -> Counts:
        """Images by state, failures by reason."""
        with reading(self._engine) as connection:
            return image_reads.counts(connection, collection_id)

    def column_names(self, collection_id: int) -> list[str]:
        """The collection's list columns, sorted."""
        with reading(self._engine) as connection:
            return image_reads.column_names(connection, collection_id)

    # ---------------------------------------------------------------- snapshots

    def publish_snapshot(
        self,
        space_id: int,
        *,
        name: str,
        revision: int,
        manifest: Mapping[str, Any],
        expected: str | None,
    ) -> bool:
        """The snapshot is current if expected (None: none) was until now; whether it was."""
        with writing(self._engine) as connection:
            return snapshots.publish(
                connection,
                space_id,
                name=name,
                revision=revision,
                manifest=manifest,
                expected=expected,
            )

    def snapshots(self, space_id: int) -> list[SnapshotRow]:
        """The space's snapshots, newest first."""
        with reading(self._engine) as connection:
            return snapshots.snapshots(connection, space_id)

    def set_aside(self, space_id: int, name: str, reason: str) -> None:
        """The snapshot must not answer any more; why is kept."""
        with writing(self._engine) as connection:
            snapshots.set_aside(connection, space_id, name, reason)

    def forget(self, space_id: int, name: str) -> None:
        """The snapshot's row is gone; its files are the caller's business."""
        with writing(self._engine) as connection:
            snapshots.forget(connection, space_id, name)


def _is_power_of_four(revision: int) -> bool:
    return revision.bit_count() == 1 and revision.bit_length() % 2 == 1
