"""API keys. A key is `lk_PUBLIC_SECRET`; the catalog holds PUBLIC and the SHA-256 of SECRET.

The secret has 256 random bits, so a plain hash is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, insert, select, update

from likeness.catalog import Catalog
from likeness.catalog.engine import reading, writing
from likeness.catalog.rows import check_name
from likeness.catalog.serving.schema import ApiKeyRow
from likeness.errors import KeyNotFound

_FORM = re.compile(r"lk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = bytes(32)


class Scope(StrEnum):
    """READ: search and look. WRITE: also add, tag and remove images. ADMIN: everything."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, needed: Scope) -> bool:
        """Whether a key of this scope may do what needs the other."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; never its secret."""

    public_id: str
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None


class ApiKeys:
    """The catalog's keys. Each call is one transaction. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    def create(self, name: str, scope: Scope) -> tuple[ApiKey, str]:
        """A new key: what is kept of it, and the key itself, which is never to be had again."""
        public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        created_at = datetime.now(UTC)
        values = {
            "public_id": public_id,
            "digest": hashlib.sha256(secret.encode()).digest(),
            "name": check_name(name, "key name"),
            "scope": scope.value,
            "created_at": created_at,
        }
        with writing(self._engine) as connection:
            connection.execute(insert(ApiKeyRow).values(values))
        return ApiKey(public_id, name, scope, created_at, None), f"lk_{public_id}_{secret}"

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(ApiKeyRow.id))
            return [_key(row) for row in rows]

    def any_valid(self) -> bool:
        """Whether there is a key that opens anything."""
        with reading(self._engine) as connection:
            statement = select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None)).limit(1)
            return connection.execute(statement).one_or_none() is not None

    def any(self) -> bool:
        """Whether there ever was a key: then the service stays closed to those without one."""
        with reading(self._engine) as connection:
            return connection.execute(select(ApiKeyRow.id).limit(1)).one_or_none() is not None

    def revoke(self, public_id: str) -> ApiKey:
        """The key opens nothing any more. Raises KeyNotFound."""
        with writing(self._engine) as connection:
            connection.execute(
                update(ApiKeyRow)
                .where(ApiKeyRow.public_id == public_id, ApiKeyRow.revoked_at.is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
            row = connection.execute(
                select(*_COLUMNS).where(ApiKeyRow.public_id == public_id)
            ).one_or_none()
        if row is None:
            raise KeyNotFound(public_id)
        return _key(row)

    def verify(self, presented: str) -> ApiKey | None:
        """The valid key that this is, or None. Takes as long for a wrong secret as for none."""
        match = _FORM.fullmatch(presented)
        public_id, secret = (match[1], match[2]) if match else ("", "")
        with reading(self._engine) as connection:
            row = connection.execute(
                select(*_COLUMNS, ApiKeyRow.digest).where(ApiKeyRow.public_id == public_id)
            ).one_or_none()
        kept = _NO_DIGEST if row is None else row.digest
        same = hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), kept)
        if row is None or not same or row.revoked_at is not None:
            return None
        return _key(row)


_COLUMNS: tuple[Any, ...] = (
    ApiKeyRow.public_id,
    ApiKeyRow.name,
    ApiKeyRow.scope,
    ApiKeyRow.created_at,
    ApiKeyRow.revoked_at,
)


def _key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(row.public_id, row.name, Scope(row.scope), row.created_at, row.revoked_at)
