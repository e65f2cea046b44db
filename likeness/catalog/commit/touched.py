"""The rows that a batch touches, in memory, as they are before and while it is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from likeness.catalog.engine import byte_strings, integers, strings
from likeness.catalog.folding import clean, fold
from likeness.catalog.records import (
    REMOVED,
    BatchItem,
    Failed,
    FieldValue,
    Filled,
    Linked,
    SourceFacts,
)
from likeness.catalog.rows import check_name, check_source, clamp
from likeness.catalog.schema import EmbeddingRow, FieldRow, ImageTable
from likeness.errors import CatalogError
from likeness.types import ImageState


@dataclass(frozen=True, slots=True)
class NewVector:
    """A vector that this commit stores. row: of the batch's array of its space."""

    row: int


@dataclass(frozen=True, slots=True)
class OldVector:
    """A vector that is stored already."""

    chunk_id: int
    slot: int


Vector: TypeAlias = NewVector | OldVector


@dataclass(slots=True, eq=False)
class Image:
    """A row of `images`. id: None until a new row is written. changes: columns to write."""

    id: int | None
    uri: str
    sha256: bytes
    state: ImageState
    size: int | None = None
    mtime_ns: int | None = None
    path: str = ""
    reason_code: str | None = None
    message: str | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    spaces: set[int] = field(default_factory=set)
    changes: dict[str, Any] = field(default_factory=dict)
    fields_changed: bool = False
    returned: bool = False
    """It was not ready and is now: its stored embeddings take the new revision."""
    embeddings: dict[int, Vector] = field(default_factory=dict)
    """Space → vector, to be written."""
    tags_from: list[Image] = field(default_factory=list)
    facts_from: Image | None = None

    @property
    def is_live(self) -> bool:
        return self.state is not ImageState.GONE

    @property
    def failure(self) -> tuple[str, str] | None:
        """Why it could not be used, as (reason code, message), when it could not."""
        if self.reason_code in (None, REMOVED):
            return None
        return self.reason_code or "", self.message or ""

    @property
    def is_changed(self) -> bool:
        return bool(self.changes or self.embeddings or self.fields_changed)

    def become(self, state: ImageState, reason: tuple[str, str] = ("", "")) -> bool:
        """Set the state, with its reason when it is `failed`; whether that is a change."""
        code, message = clean(reason[0]) or None, clean(reason[1]) or None
        if (state, code, message) == (self.state, self.reason_code, self.message):
            return False
        self.returned |= state is ImageState.READY and self.state is not ImageState.READY
        self.state, self.reason_code, self.message = state, code, message
        self.changes |= {"state": state.value, "reason_code": code, "message": message}
        return True

    def vanish(self) -> None:
        """The row is gone. Its reason stays, for when it comes back."""
        self.state = ImageState.GONE
        self.changes["state"] = self.state.value

    def refresh(self, source: SourceFacts) -> bool:
        """Take over what may change while the content stays; whether anything did.

        What the source does not know (size, time, columns) stays as it was.
        """
        before = dict(self.changes), self.fields_changed
        path = clean(source.path)
        if path != self.path:
            self.path = path
            self.changes |= {"path": path, "path_folded": fold(path)}
        size, mtime_ns = clamp(source.size), clamp(source.mtime_ns)
        if size is not None and size != self.size:
            self.size = self.changes["size"] = size
        if mtime_ns is not None and mtime_ns != self.mtime_ns:
            self.mtime_ns = self.changes["mtime_ns"] = mtime_ns
        fields = {check_name(name, "column"): value for name, value in source.fields.items()}
        if fields and fields != self.fields:
            self.fields, self.fields_changed = fields, True
        return before != (self.changes, self.fields_changed)


class Touched:
    """The rows that a batch names, by id, by place and content, and the live one of each place.

    content: (sha256, space id) → where the vector of these bytes is, or will be, stored.
    """

    def __init__(
        self, connection: Connection, collection_id: int, items: Sequence[BatchItem]
    ) -> None:
        """Read them; the collection must be locked.

        Raises CatalogError for an image of another collection, ValueError for a source that
        cannot be a row.
        """
        self._connection, self._collection_id = connection, collection_id
        self.images: list[Image] = []
        self.by_id: dict[int, Image] = {}
        self.by_key: dict[tuple[str, bytes], Image] = {}
        self.live: dict[str, Image] = {}
        self.content: dict[tuple[bytes, int], Vector] = {}
        ids: set[int] = set()
        sources: list[SourceFacts] = []
        for item in items:
            if isinstance(item, Linked):
                ids.add(item.twin_id)
            elif not isinstance(item, Failed) and hasattr(item, "image_id"):
                ids.add(item.image_id)
            if not isinstance(item, Filled):
                check_source(item.source, readable=not isinstance(item, Failed))
                sources.append(item.source)
        self._load_images(ids, {source.uri for source in sources})
        self._load_embeddings_and_fields()
        shas = {bytes.fromhex(source.sha256) for source in sources}
        self._load_content((shas | {self.by_id[i].sha256 for i in ids}) - {b""})

    def add(self, image: Image) -> None:
        self.images.append(image)
        self.put(image)

    def put(self, image: Image) -> None:
        """The image stands at its place."""
        self.by_key[image.uri, image.sha256] = image
        if image.is_live:
            self.live[image.uri] = image

    def lift(self, image: Image) -> None:
        """The image's place is free for another."""
        if self.live.get(image.uri) is image:
            del self.live[image.uri]
        if self.by_key.get((image.uri, image.sha256)) is image:
            del self.by_key[image.uri, image.sha256]

    def _load_images(self, ids: set[int], uris: set[str]) -> None:
        t = ImageTable
        wanted = select(
            t.id,
            t.uri,
            t.sha256,
            t.state,
            t.size,
            t.mtime_ns,
            t.path,
            t.reason_code,
            t.message,
        ).where(t.collection_id == self._collection_id)
        at_places = t.uri.in_(strings(self._connection, sorted(uris)))
        for rows in (
            self._connection.execute(wanted.where(at_places)).all() if uris else [],
            self._connection.execute(
                wanted.where(t.id.in_(integers(self._connection, sorted(ids))))
            ).all()
            if ids
            else [],
        ):
            for row in rows:
                if row.id in self.by_id:
                    continue
                image = Image(row.id, row.uri, row.sha256, ImageState(row.state), *row[4:])
                self.by_id[row.id] = image
                self.add(image)
        if unknown := ids - self.by_id.keys():
            raise CatalogError(f"image {min(unknown)} is not one of this collection's")

    def _load_embeddings_and_fields(self) -> None:
        if not self.by_id:
            return
        ids = integers(self._connection, sorted(self.by_id))
        e, f = EmbeddingRow, FieldRow
        owned = select(e.image_id, e.space_id).where(e.image_id.in_(ids))
        for image_id, space_id in self._connection.execute(owned):
            self.by_id[image_id].spaces.add(space_id)
        listed = select(f.image_id, f.name, f.text, f.number, f.is_number)
        found: dict[int, dict[str, FieldValue]] = {}
        for row in self._connection.execute(listed.where(f.image_id.in_(ids))):
            value = row.number if row.is_number and row.number is not None else row.text
            found.setdefault(row.image_id, {})[row.name] = value
        for image_id, fields in found.items():
            self.by_id[image_id].fields = fields

    def _load_content(self, shas: set[bytes]) -> None:
        if not shas:
            return
        t, e = ImageTable, EmbeddingRow
        statement = (
            select(t.sha256, e.space_id, e.chunk_id, e.slot)
            .join(e, e.image_id == t.id)
            .where(
                t.collection_id == self._collection_id,
                t.sha256.in_(byte_strings(self._connection, sorted(shas))),
            )
            .distinct()
        )
        for sha, space_id, chunk_id, slot in self._connection.execute(statement):
            self.content.setdefault((sha, space_id), OldVector(chunk_id, slot))
