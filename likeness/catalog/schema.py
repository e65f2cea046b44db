"""The tables, as typed SQLAlchemy models. `migrations/` makes them; a test holds both equal.

Ids are never reused (AUTOINCREMENT, identity). Columns named `*_folded` hold the text as filters
compare it (`folding.fold`), written by us, so that both engines match the same rows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite autoincrements INTEGER keys only, which are 64 bits wide there.
_BigId = BigInteger().with_variant(Integer(), "sqlite")
# Bytewise order and comparison on both engines: keyset pages and prefix ranges depend on it.
_Bytewise = Text().with_variant(Text(collation="C"), "postgresql")

LIVE = text("state <> 'gone'")
CURRENT = text("state = 'current'")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as naive UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class MetaRow(Base):
    """Facts about the catalog itself, such as its uuid."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class CollectionRow(Base):
    """revision: bumped first in every writing transaction, so the row is also the write lock."""

    __tablename__ = "collections"
    __table_args__: Any = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SpaceRow(Base):
    """towers: names of the encoder's towers, sorted, comma-separated."""

    __tablename__ = "spaces"
    __table_args__: Any = (
        UniqueConstraint("collection_id", "fingerprint"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    encoder: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)
    dim: Mapped[int] = mapped_column(Integer)
    towers: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ImageTable(Base):
    """sha256: 32 bytes, or none where the bytes could not be read.

    An id's content never changes: a changed file is a new row. At most one row per uri is live.
    """

    __tablename__ = "images"
    __table_args__: Any = (
        UniqueConstraint("collection_id", "uri", "sha256"),
        Index(
            "uq_images_live_uri",
            "collection_id",
            "uri",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        Index("ix_images_collection_id_sha256", "collection_id", "sha256"),
        Index("ix_images_collection_id_revision", "collection_id", "revision"),
        Index("ix_images_collection_id_state_id", "collection_id", "state", "id"),
        Index("ix_images_collection_id_taken_at", "collection_id", "taken_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    state: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(BigInteger)
    uri: Mapped[str] = mapped_column(_Bytewise)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    path: Mapped[str] = mapped_column(Text)
    path_folded: Mapped[str] = mapped_column(_Bytewise)
    size: Mapped[int | None] = mapped_column(BigInteger)
    mtime_ns: Mapped[int | None] = mapped_column(BigInteger)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason_code: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    format: Mapped[str | None] = mapped_column(Text)
    taken_at: Mapped[datetime | None] = mapped_column(DateTime)
    camera_make: Mapped[str | None] = mapped_column(Text)
    camera_model: Mapped[str | None] = mapped_column(Text)
    lens: Mapped[str | None] = mapped_column(Text)
    make_folded: Mapped[str | None] = mapped_column(_Bytewise)
    model_folded: Mapped[str | None] = mapped_column(_Bytewise)
    camera_folded: Mapped[str | None] = mapped_column(_Bytewise)
    lens_folded: Mapped[str | None] = mapped_column(_Bytewise)
    latitude: Mapped[float | None] = mapped_column(Double)
    longitude: Mapped[float | None] = mapped_column(Double)
    perceptual_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    perceptual_hash_quality: Mapped[int | None] = mapped_column(SmallInteger)


class TagRow(Base):
    __tablename__ = "image_tags"
    __table_args__: Any = (
        Index("ix_image_tags_tag_folded", "tag_folded", "image_id"),
        {"sqlite_with_rowid": False},
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id"), primary_key=True, autoincrement=False
    )
    tag: Mapped[str] = mapped_column(_Bytewise, primary_key=True)
    tag_folded: Mapped[str] = mapped_column(_Bytewise)


class FieldRow(Base):
    """A value of a list column. number: the value as one, where it is one."""

    __tablename__ = "image_fields"
    __table_args__: Any = (
        Index("ix_image_fields_name_number", "name", "number"),
        {"sqlite_with_rowid": False},
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(_Bytewise, primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    text_folded: Mapped[str] = mapped_column(_Bytewise)
    number: Mapped[float | None] = mapped_column(Double)
    is_number: Mapped[bool]


class ChunkRow(Base):
    """data comes last: reading the other columns then leaves SQLite's overflow pages alone."""

    __tablename__ = "chunks"
    __table_args__: Any = (
        Index("ix_chunks_space_id_revision", "space_id", "revision"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"))
    revision: Mapped[int] = mapped_column(BigInteger)
    vectors: Mapped[int] = mapped_column(Integer)
    checksum: Mapped[bytes] = mapped_column(LargeBinary)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class EmbeddingRow(Base):
    """Names the chunk and slot of an image's vector; images with the same bytes name the same."""

    __tablename__ = "embeddings"
    __table_args__: Any = (
        Index("ix_embeddings_space_id_revision", "space_id", "revision"),
        Index("ix_embeddings_chunk_id", "chunk_id"),
        Index("ix_embeddings_image_id", "image_id"),
        {"sqlite_with_rowid": False},
    )

    space_id: Mapped[int] = mapped_column(
        ForeignKey("spaces.id"), primary_key=True, autoincrement=False
    )
    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id"), primary_key=True, autoincrement=False
    )
    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunks.id"))
    slot: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(BigInteger)


class SnapshotTable(Base):
    """manifest: JSON text, as the publisher gave it."""

    __tablename__ = "snapshots"
    __table_args__: Any = (
        UniqueConstraint("space_id", "name"),
        Index(
            "uq_snapshots_current",
            "space_id",
            unique=True,
            sqlite_where=CURRENT,
            postgresql_where=CURRENT,
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"))
    name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
