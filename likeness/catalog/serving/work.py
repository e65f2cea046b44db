"""Pieces of work, as records; no SQL here.

WAITING → READY → LEASED → DONE, or DEAD after too many attempts, or CANCELLED. A lease that runs
out, or is given back, makes a piece READY again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

PROBLEMS_KEPT = 100
"""Of a job, word for word; all of them are counted by their reason."""


class WorkState(StrEnum):
    """DEAD: it was tried as often as is allowed; `Work.reason` says what happened last."""

    WAITING = "waiting"
    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewWork:
    """A piece of work to be added.

    payload: JSON values; images by reference, never their bytes. images: how many it is about.
    key: while a piece with the same one is open, this one is not added. stage: above 0 it waits
    until nothing else of its job is open, the lowest stage first. priority: lower goes first.
    """

    kind: str
    queue: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    images: int = 0
    key: str | None = None
    stage: int = 0
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Work:
    """A row of the ledger. (id, owner, attempts) tells one lease of it from every other.

    attempts: leases so far, the present one included, less those that were given back.
    lease_until: seconds since 1970 on the database's clock.
    """

    id: int
    job_id: int | None
    kind: str
    queue: str
    stage: int
    priority: int
    images: int
    state: WorkState
    attempts: int
    owner: str | None
    lease_until: float | None
    reason: str | None
    packed: bytes = field(repr=False)

    @property
    def payload(self) -> dict[str, Any]:
        return unpack(self.packed)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a piece of work adds to its job. counts: images by outcome, as
    `indexer.progress.Counts` names them. failures: reason code → how many. problems: of those,
    (name, code, reason).
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work of one queue, kind and state. waited_s: how long the oldest of it has been due."""

    queue: str
    kind: str
    state: WorkState
    pieces: int
    images: int
    waited_s: float


def pack(payload: Mapping[str, Any]) -> bytes:
    """A payload as it is stored: names of images repeat themselves, and shrink to a fifth."""
    return zlib.compress(json.dumps(payload, separators=(",", ":")).encode(), 3)


def unpack(packed: bytes) -> dict[str, Any]:
    """The payload that `pack` was given."""
    payload: dict[str, Any] = json.loads(zlib.decompress(packed)) if packed else {}
    return payload
