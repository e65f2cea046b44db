"""One space of a catalog, in a dictionary: the same promises about revisions, without SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from likeness.catalog.records import Changes, Head, SnapshotRow, SnapshotState, Space, SpaceState
from likeness.types import ImageIds, StoredVectors, Tower


class FakeSpaceCatalog:
    """Images with vectors that are ready or gone; each change is a commit with a revision."""

    def __init__(self, dim: int) -> None:
        self.space = Space(
            id=1,
            collection_id=1,
            encoder="fake:colours",
            fingerprint="ab" * 16,
            dim=dim,
            towers=frozenset({Tower.IMAGE}),
            state=SpaceState.ACTIVE,
        )
        self.revision = 0
        self.vectors: dict[int, np.ndarray] = {}
        self.ready: dict[int, bool] = {}
        self.image_revision: dict[int, int] = {}
        self.embedding_revision: dict[int, int] = {}
        self.rows: list[SnapshotRow] = []
        self.questions: list[str] = []
        self.history = "one"

    # ------------------------------------------------------------------ what happens

    def add(self, image_ids: Sequence[int], vectors: StoredVectors) -> None:
        """New images, or gone ones that came back."""
        self.revision += 1
        for image_id, vector in zip(image_ids, vectors, strict=True):
            self.vectors.setdefault(image_id, vector)
            self.ready[image_id] = True
            self.image_revision[image_id] = self.embedding_revision[image_id] = self.revision

    def kill(self, image_ids: Sequence[int]) -> None:
        self.revision += 1
        for image_id in image_ids:
            if self.ready.get(image_id):
                self.ready[image_id] = False
                self.image_revision[image_id] = self.revision

    def tag(self) -> None:
        """A commit that changes no vector."""
        self.revision += 1

    # ------------------------------------------------------------------ the truth

    @property
    def ready_ids(self) -> ImageIds:
        return np.array(sorted(i for i, ready in self.ready.items() if ready), dtype=np.int64)

    def rows_of(self, image_ids: ImageIds) -> StoredVectors:
        rows = [self.vectors[i] for i in image_ids.tolist()]
        return np.array(rows, np.float16).reshape(-1, self.space.dim)

    # ------------------------------------------------------------------ what readers ask

    def head(self, collection_id: int, space_id: int) -> Head:
        self.questions.append("head")
        current = [row for row in self.rows if row.state is SnapshotState.CURRENT]
        return Head(self.revision, current[0] if current else None)

    def count_changes(self, space_id: int, revision: int) -> tuple[int, int]:
        changes = self.changes_since(space_id, revision)
        return len(changes.added_ids), len(changes.dead_ids)

    def changes_since(self, space_id: int, revision: int) -> Changes:
        self.questions.append("changes_since")
        added = [i for i in self.ready_ids.tolist() if self.embedding_revision[i] > revision]
        dead = [
            i for i, ready in self.ready.items() if not ready and self.image_revision[i] > revision
        ]
        ids = np.array(added, dtype=np.int64)
        return Changes(self.revision, ids, self.rows_of(ids), np.array(sorted(dead), np.int64))

    def stream_vectors(
        self, space_id: int, *, up_to_revision: int | None = None, rows: int = 7
    ) -> Iterator[tuple[ImageIds, StoredVectors]]:
        self.questions.append("stream_vectors")
        limit = self.revision if up_to_revision is None else up_to_revision
        ids = np.array(
            [i for i in self.ready_ids.tolist() if self.embedding_revision[i] <= limit], np.int64
        )
        for start in range(0, len(ids), rows):
            page = ids[start : start + rows]
            yield page, self.rows_of(page)

    def chunks_digest(self, space_id: int, up_to_revision: int) -> str:
        return hashlib.sha256(f"{self.history} {up_to_revision}".encode()).hexdigest()

    def snapshots(self, space_id: int) -> list[SnapshotRow]:
        return list(reversed(self.rows))

    # ------------------------------------------------------------------ what publishers do

    def publish_snapshot(
        self,
        space_id: int,
        *,
        name: str,
        revision: int,
        manifest: Mapping[str, Any],
        expected: str | None,
    ) -> bool:
        current = self.head(1, 1).snapshot
        if (None if current is None else current.name) != expected:
            return False
        self._set({SnapshotState.CURRENT: SnapshotState.PREVIOUS})
        now = datetime.now(UTC)
        self.rows.append(
            SnapshotRow(name, space_id, SnapshotState.CURRENT, revision, dict(manifest), now)
        )
        return True

    def set_aside(self, space_id: int, name: str, reason: str) -> None:
        self.rows = [
            replace(row, state=SnapshotState.ASIDE, reason=reason) if row.name == name else row
            for row in self.rows
        ]

    def forget(self, space_id: int, name: str) -> None:
        self.rows = [row for row in self.rows if row.name != name]

    def _set(self, states: Mapping[SnapshotState, SnapshotState]) -> None:
        self.rows = [replace(row, state=states.get(row.state, row.state)) for row in self.rows]
