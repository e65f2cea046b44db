"""From the catalog to an index on disk: built beside, verified, then made current in one step.

Killed at any moment, it leaves the index before it in service and at most rubbish, which the next
publish sweeps: a `.partial-…` folder, or a whole one that never became current.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from likeness.catalog import Catalog
from likeness.catalog.records import SnapshotState, Space
from likeness.errors import SnapshotNotWritten
from likeness.telemetry import pulse, tracing
from likeness.telemetry.totals import TOTALS
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.choice import AUTO, Budget
from likeness.vectors.recall import TextQueries
from likeness.vectors.snapshot import (
    DEFAULT_BUDGET,
    discard_everywhere,
    partial_leftovers,
    write_snapshot,
)

TAIL_ROWS = 20_000
"""A tail this long costs a query about as much as 3 ms at d = 512; time for a new index."""

CHANGED_SHARE = 0.1
"""So is a tail, or a number of dead rows, of this share of the index: its recall was measured on
other images than those it answers for."""

FEW_CHANGES = 1000
"""Fewer changes than this never make a publish due: scanning them takes less than a tenth of a
millisecond, and small collections would otherwise be published at every run."""

_BATCH_BYTES, _FEWEST_ROWS = 8 << 20, 4096

Batch: TypeAlias = tuple[ImageIds, StoredVectors]

_LOOK_S = 0.05

_NAME = re.compile(r"r\d{10,}-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Published:
    """name: of the index that is current now. ours: whether this call made it so.

    False where another process published first; its index is as good, and ours was removed.
    """

    name: str
    ours: bool
    count: int
    revision: int


def is_due(indexed: int, tail_rows: int, dead_rows: int) -> bool:
    """Whether an index of that many images, with so much changed since, should be replaced."""
    if tail_rows > TAIL_ROWS:
        return True
    return max(tail_rows, dead_rows) > max(FEW_CHANGES, CHANGED_SHARE * indexed)


def needs_publish(
    catalog: Catalog, space: Space, directory: Path, *, others_publish: bool = False
) -> bool:
    """Whether the space has no index here, or one that too much has changed since.

    directory: where the snapshots of this space lie on this machine. others_publish: one that is
    not here may be another machine's, so it is left alone until it is due: two machines that each
    replaced what they lack would never end.
    """
    head = catalog.head(space.collection_id, space.id)
    missing = head.snapshot is not None and not (directory / head.snapshot.name).is_dir()
    if head.snapshot is None or (missing and not others_publish):
        return next(catalog.stream_vectors(space.id, rows=1), None) is not None
    if head.revision <= head.snapshot.revision:
        return False
    added, dead = catalog.count_changes(space.id, head.snapshot.revision)
    return is_due(int(head.snapshot.manifest["count"]), added, dead)


def publish(
    catalog: Catalog,
    space: Space,
    directory: Path,
    *,
    kind: str = AUTO,
    budget: Budget = DEFAULT_BUDGET,
    text_queries: TextQueries | None = None,
    server: str = "",
) -> Published:
    """The space has a new current index over all that is committed; the one before it is kept.

    directory: where the snapshots of this space lie; one publisher at a time writes there.
    kind: of `likeness.vectors.kinds`, or `auto`: from what is measured, within the budget.
    text_queries: vectors of sample words, to measure recall by in a space that answers words.
    server: for a kind whose index stands elsewhere, such as milvus.
    Readers go on with the index that they have, and open this one by themselves.
    Raises SnapshotNotWritten (full disk), SnapshotDamaged (what was read back differs) or
    CatalogError; the index before stays current then, and nothing is left behind.
    """
    with _only_publisher(directory):
        sweep(catalog, space, directory, server=server)
        head = catalog.head(space.collection_id, space.id)
        name = f"r{head.revision:010d}-{secrets.token_hex(4)}"
        began, clock = time.perf_counter(), time.time_ns()
        manifest = write_snapshot(
            directory / name,
            load(catalog, space, head.revision),
            fingerprint=space.fingerprint,
            dim=space.dim,
            revision=head.revision,
            digest=catalog.chunks_digest(space.id, head.revision),
            kind=kind,
            budget=budget,
            text_queries=text_queries,
            server=server,
        )
        TOTALS.took("publish", time.perf_counter() - began, manifest.count)
        tracing.record("publish", clock, time.time_ns(), images=manifest.count)
        # When this raises, whether it was committed is not known, so the files must stay; an
        # orphan is swept by the next publish, which asks the catalog first.
        ours = catalog.publish_snapshot(
            space.id,
            name=name,
            revision=head.revision,
            manifest=manifest.as_dict(),
            expected=None if head.snapshot is None else head.snapshot.name,
        )
        if not ours:
            discard_everywhere(directory / name, server)
            winner = catalog.head(space.collection_id, space.id).snapshot
            if winner is not None:
                count = int(winner.manifest["count"])
                return Published(winner.name, ours=False, count=count, revision=winner.revision)
            reason = "the index that it was to replace was set aside meanwhile; publish again"
            raise SnapshotNotWritten(str(directory / name), reason)
        sweep(catalog, space, directory, server=server)
        return Published(name, ours=True, count=manifest.count, revision=head.revision)


def load(catalog: Catalog, space: Space, revision: int) -> Iterator[Batch]:
    """The space's ids and vectors up to a revision, in batches that fit the processor's cache; the
    next one is read while this one is checked, hashed and written."""
    rows = max(_FEWEST_ROWS, _BATCH_BYTES // (2 * space.dim))
    batches = catalog.stream_vectors(space.id, up_to_revision=revision, rows=rows)
    with ThreadPoolExecutor(1, "likeness-publish-read") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def sweep(catalog: Catalog, space: Space, directory: Path, *, server: str = "") -> None:
    """Only the current snapshot and the one before it are left, in the catalog and on disk."""
    kept: set[str] = set()
    previous_seen = False
    for row in catalog.snapshots(space.id):  # newest first
        if row.state is SnapshotState.CURRENT:
            kept.add(row.name)
        elif row.state is SnapshotState.PREVIOUS and not previous_seen:
            previous_seen = True
            kept.add(row.name)
        elif row.state is not SnapshotState.ASIDE or kept:
            # One that was set aside is reported until there is another in its place.
            catalog.forget(space.id, row.name)
    for leftover in partial_leftovers(directory):
        discard_everywhere(leftover, server)
    for path in directory.iterdir():
        if _NAME.fullmatch(path.name) and path.name not in kept:
            discard_everywhere(path, server)


def _wait_for(fd: int) -> None:
    """The file is locked. Waiting while another publishes is no hanging: it shows signs of life."""
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pulse.beat()
            time.sleep(_LOOK_S)
        else:
            return


@contextlib.contextmanager
def _only_publisher(directory: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when a process dies."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / ".publishing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SnapshotNotWritten(str(directory), error.strerror or str(error)) from error
    try:
        _wait_for(fd)
        yield
    finally:
        os.close(fd)
