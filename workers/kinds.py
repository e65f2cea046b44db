"""Kinds of queued work: their names, the queue that each goes by, and how long one may take."""

from __future__ import annotations

from typing import Final

GPU, CPU, IO = "gpu", "cpu", "io"
QUEUES: Final = (GPU, CPU, IO)

PREPARE = "prepare"
"""A new collection gets its space; needs the encoder, which is then loaded where it is used."""
SCAN = "scan"
FETCH = "fetch"
EMBED = "embed"
GAPS = "gaps"
"""Looks for images that lack an embedding in one of their spaces."""
FILL = "fill"
PUBLISH = "publish"
GRAPH = "graph"
DUPLICATES = "duplicates"
CLUSTERS = "clusters"
THUMBNAILS = "thumbnails"

QUEUE_OF: Final = {
    PREPARE: GPU,
    EMBED: GPU,
    FILL: GPU,
    SCAN: IO,
    FETCH: IO,
    GAPS: IO,
    PUBLISH: CPU,
    GRAPH: CPU,
    DUPLICATES: CPU,
    CLUSTERS: CPU,
    THUMBNAILS: CPU,
}
KINDS: Final = tuple(QUEUE_OF)

LONG: Final = frozenset({PUBLISH, GRAPH, DUPLICATES, CLUSTERS})
"""Work over a whole collection, which cannot be cut into short pieces."""
LONG_LIMIT_S = 6 * 3600.0

LEASE_FACTOR: Final = {CLUSTERS: 10}
"""Leases that last longer: partitioning a large graph is one call that lets no other thread of its
process renew them. One whose process died is handed on at once by its supervisor all the same."""

SCAN_SLICE_S = 300.0
"""A scan hands itself back after this long, and goes on where it was: others get their turn, and
it stays below the time limit."""

INDEX_JOB, PUBLISH_JOB, UPLOADS_JOB, URLS_JOB = "index", "publish", "uploads", "urls"

URGENT, USUAL = 1, 5
"""Priorities: what somebody waits for goes before long runs."""


def task_name(kind: str) -> str:
    """The name of the Celery task that does work of a kind."""
    return f"likeness.{kind}"
