"""The tables of duplicates and clusters. Images are named by id or by hash, never by foreign key:
what people have decided outlives the rows of the images it is about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from likeness.catalog.schema import Base, UtcDateTime

_BigId = BigInteger().with_variant(Integer(), "sqlite")


class VerdictRow(Base):
    """Two contents that a person has said are not duplicates. first < second: SHA-256, 32 bytes."""

    __tablename__ = "not_duplicates"
    __table_args__: Any = ({"sqlite_with_rowid": False},)

    first: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    second: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CopyVerdictRow(Base):
    """What a person wants of an image among its copies: verdict, `keep` or `remove`."""

    __tablename__ = "copy_verdicts"

    image_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    verdict: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CalibrationRow(Base):
    """What a space's thresholds are and how they were found: JSON text."""

    __tablename__ = "calibrations"

    space_id: Mapped[int] = mapped_column(
        ForeignKey("spaces.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    images: Mapped[int] = mapped_column(BigInteger)
    document: Mapped[str] = mapped_column(Text)


class JournalRow(Base):
    """Where the undo journal of an applied plan lies."""

    __tablename__ = "undo_journals"
    __table_args__: Any = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    plan_id: Mapped[str] = mapped_column(Text, unique=True)
    collection: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    applied_at: Mapped[datetime] = mapped_column(UtcDateTime)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ClusterRunRow(Base):
    """A saved clustering. parameters: JSON text, enough to repeat it."""

    __tablename__ = "cluster_runs"
    __table_args__: Any = (
        UniqueConstraint("collection_id", "name"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    parameters: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ClusterRow(Base):
    """number: of the cluster in its run. facts: JSON text. centroid: float16, little-endian."""

    __tablename__ = "clusters"

    run_id: Mapped[int] = mapped_column(
        ForeignKey("cluster_runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    named_by_user: Mapped[bool]
    cover_id: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    coherence: Mapped[float] = mapped_column(Double)
    facts: Mapped[str] = mapped_column(Text)
    centroid: Mapped[bytes] = mapped_column(LargeBinary)


class MemberRow(Base):
    """typicality: cosine to the cluster's centroid."""

    __tablename__ = "cluster_members"
    __table_args__: Any = (
        Index("ix_cluster_members_run_id_number", "run_id", "number", "typicality"),
        {"sqlite_with_rowid": False},
    )

    run_id: Mapped[int] = mapped_column(
        ForeignKey("cluster_runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    image_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer)
    typicality: Mapped[float] = mapped_column(Double)


class ChoiceRow(Base):
    """What a person did to a run's clusters, in order: JSON text, replayed after every re-run."""

    __tablename__ = "cluster_choices"
    __table_args__: Any = (
        Index("ix_cluster_choices_run_id", "run_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("cluster_runs.id", ondelete="CASCADE"))
    document: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
