"""The tables of API keys and jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from likeness.catalog.schema import Base, UtcDateTime

_BigId = BigInteger().with_variant(Integer(), "sqlite")


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
    once that is known. updated_at: last sign of life.
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
