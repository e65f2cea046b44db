"""Which kind of index a space gets, from what was measured here, unless someone says otherwise."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from likeness.errors import SnapshotError
from likeness.types import StoredVectors
from likeness.vectors.compressed import code_bytes
from likeness.vectors.cores import cores
from likeness.vectors.halfscan import HalfScan, Selection
from likeness.vectors.kinds import KINDS

AUTO = "auto"
_PROBED_ROWS = 50_000
_PROBES = 5
_K = 10
_CODES_RATIO = 33.0

_CODES_SHARE = 0.2
"""Of the latency budget, that scanning all codes may take; above, they are put into cells."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What an index may cost. latency_ms: of one query, on all cores, and so what many at once take
    from each other; memory_bytes: of what must stay in it.

    recall: the least that is accepted of an index that is not exact.
    """

    latency_ms: float = 1.0
    memory_bytes: int = 4 << 30
    recall: float = 0.98


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind and the facts that chose it, for the manifest."""

    kind: str
    reason: str


def choose(asked: str, vectors: StoredVectors, budget: Budget) -> Choice:
    """The kind for float16 rows [n, d] mapped from the disk. asked: a kind, or `auto`.

    Raises SnapshotError for an unknown kind.
    """
    if asked != AUTO:
        if asked not in KINDS:
            known = ", ".join((AUTO, *KINDS))
            raise SnapshotError(f"there is no kind of index {asked!r} (kinds: {known})")
        return Choice(asked, "asked for")
    n, d = vectors.shape
    exact_ms = scan_ms(vectors)
    if exact_ms <= budget.latency_ms and vectors.nbytes <= budget.memory_bytes:
        return Choice("exact", f"an exact scan of {n} takes {exact_ms:.2g} ms")
    # One core scans codes of 32 bytes as quickly as 33 scan the float16 rows (measured at 1,000,000
    # × 512: 1.0 against 33 ms of processor time); one query of one cell never gets a second core.
    codes_ms, codes_bytes = exact_ms * cores().total / _CODES_RATIO, n * code_bytes(d)
    facts = f"an exact scan of {n} takes {exact_ms:.2g} ms, of their codes {codes_ms:.2g} ms"
    if codes_bytes > budget.memory_bytes:
        facts += f"; {codes_bytes >> 20} MiB of codes are over the budget of memory all the same"
    quick = codes_ms <= _CODES_SHARE * budget.latency_ms
    return Choice("compressed" if quick else "ivf", facts)


def scan_ms(vectors: StoredVectors) -> float:
    """Milliseconds that one exact query over all the rows takes, from some of them."""
    rows = vectors[:_PROBED_ROWS]
    if not len(rows):
        return 0.0
    scan, everything = HalfScan(np.ascontiguousarray(rows)), Selection(len(rows))
    query = np.ascontiguousarray(rows[:1].astype(np.float32))
    spent = []
    for _ in range(_PROBES):
        begun = time.perf_counter()
        scan.top(query, min(_K, len(rows)), everything)
        spent.append(time.perf_counter() - begun)
    return 1000 * min(spent) * len(vectors) / len(rows)
