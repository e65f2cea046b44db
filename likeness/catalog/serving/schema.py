"""The tables of API keys, of jobs and of the work that they consist of."""

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
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from likeness.catalog.schema import Base, UtcDateTime

_BigId = BigInteger().with_variant(Integer(), "sqlite")
_READY, _LEASED = text("state = 'ready'"), text("state = 'leased'")
_OPEN = text("state IN ('waiting', 'ready', 'leased')")


class ApiKeyRow(Base):
    """public_id: the part of a key that may be shown. digest: SHA-256 of the secret part."""

    __tablename__ = "api_keys"
    __table_args__: Any = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Text, unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobRow(Base):
    """Work that outlives the call that asked for it.

    collection: by name, so that a job's story survives its collection. request, counts, failures:
    JSON text; what was asked, images by outcome, failures by reason code. total: images to do,
    once that is known. updated_at: last sign of life. problems: JSON text, the first of those
    failures as [name, code, reason].
    """

    __tablename__ = "jobs"
    __table_args__: Any = (
        Index("ix_jobs_state_id", "state", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    collection: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    request: Mapped[str] = mapped_column(Text)
    total: Mapped[int | None] = mapped_column(BigInteger)
    counts: Mapped[str] = mapped_column(Text)
    failures: Mapped[str] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problems: Mapped[str | None] = mapped_column(Text)


class WorkRow(Base):
    """A piece of work that one worker does at a time, and whose lease says which.

    Times are seconds since 1970 on the database's clock, which all workers share. key: of two open
    pieces with the same one, the second is not added. stage: waiting pieces of a job become ready
    when nothing of it is open, the lowest stage first. priority: lower goes first. payload: zlib of
    JSON. images: how many it is about. hinted_at: when a message about it was sent last. tally:
    JSON text, what it has already added to its job's counts.
    """

    __tablename__ = "work_items"
    __table_args__: Any = (
        Index(
            "ix_work_items_ready",
            "queue",
            "priority",
            "id",
            sqlite_where=_READY,
            postgresql_where=_READY,
        ),
        Index(
            "ix_work_items_leased",
            "lease_until",
            sqlite_where=_LEASED,
            postgresql_where=_LEASED,
        ),
        Index("ix_work_items_job_id_state_id", "job_id", "state", "id"),
        Index(
            "uq_work_items_open_key",
            "key",
            unique=True,
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    kind: Mapped[str] = mapped_column(Text)
    queue: Mapped[str] = mapped_column(Text)
    key: Mapped[str | None] = mapped_column(Text)
    stage: Mapped[int] = mapped_column(SmallInteger)
    priority: Mapped[int] = mapped_column(SmallInteger)
    images: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    owner: Mapped[str | None] = mapped_column(Text)
    lease_until: Mapped[float | None] = mapped_column(Double)
    due_at: Mapped[float] = mapped_column(Double)
    hinted_at: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[float] = mapped_column(Double)
    finished_at: Mapped[float | None] = mapped_column(Double)
    reason: Mapped[str | None] = mapped_column(Text)
    tally: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class DutyRow(Base):
    """What some worker has to do now and then. last_at: when one did, on the database's clock."""

    __tablename__ = "duties"
    __table_args__: Any = ({"sqlite_with_rowid": False},)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    last_at: Mapped[float] = mapped_column(Double)
    owner: Mapped[str] = mapped_column(Text)
