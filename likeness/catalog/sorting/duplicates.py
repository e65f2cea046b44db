"""Verdicts on pairs, thresholds of spaces, and where undo journals lie."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from likeness.catalog import Catalog
from likeness.catalog.engine import integers, reading, writing
from likeness.catalog.image_reads import pages
from likeness.catalog.schema import ImageTable
from likeness.catalog.sorting.schema import CalibrationRow, JournalRow, VerdictRow
from likeness.types import ImageIds


@dataclass(frozen=True, slots=True)
class HashColumns:
    """Of n images: sha256 uint8 [n, 32]; pdq uint8 [n, 32]; quality int16 [n], -1 without PDQ."""

    sha256: npt.NDArray[np.uint8]
    pdq: npt.NDArray[np.uint8]
    quality: npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """images: how many the space had then."""

    made_at: datetime
    images: int
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredJournal:
    plan_id: str
    collection: str
    path: Path
    applied_at: datetime
    undone_at: datetime | None


class DuplicateRecords:
    """The catalog's part in finding copies and clearing them away. Each call: one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    # ------------------------------------------------------------ verdicts

    def not_duplicates(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Pairs of SHA-256 (hex) are never shown as copies again, in any collection."""
        now = datetime.now(UTC)
        rows = [
            {"first": first, "second": second, "made_at": now}
            for first, second in {_ordered(pair) for pair in pairs}
            if first != second
        ]
        if not rows:
            return
        with writing(self._engine) as connection:
            insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
            connection.execute(insert(VerdictRow).on_conflict_do_nothing(), rows)

    def forget_verdicts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """The pairs may be shown as copies again."""
        with writing(self._engine) as connection:
            for first, second in map(_ordered, pairs):
                connection.execute(
                    delete(VerdictRow).where(VerdictRow.first == first, VerdictRow.second == second)
                )

    def verdicts(self) -> set[tuple[str, str]]:
        """Every pair of SHA-256 (hex, the lower first) that is no pair of copies."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(VerdictRow.first, VerdictRow.second))
            return {(first.hex(), second.hex()) for first, second in rows}

    # ------------------------------------------------------------ hashes

    def hashes(self, image_ids: ImageIds) -> HashColumns:
        """The hashes of the images, in their order; zeros where an image is not known."""
        n = len(image_ids)
        sha256 = np.zeros((n, 32), dtype=np.uint8)
        pdq = np.zeros((n, 32), dtype=np.uint8)
        quality = np.full(n, -1, dtype=np.int16)
        row_of = {int(image_id): row for row, image_id in enumerate(image_ids)}
        t = ImageTable
        with reading(self._engine) as connection:
            for page in pages([int(image_id) for image_id in image_ids]):
                statement = select(
                    t.id, t.sha256, t.perceptual_hash, t.perceptual_hash_quality
                ).where(t.id.in_(integers(connection, page)))
                for image_id, digest, perceptual, found_quality in connection.execute(statement):
                    row = row_of[image_id]
                    if len(digest) == 32:
                        sha256[row] = np.frombuffer(digest, dtype=np.uint8)
                    if perceptual is not None and len(perceptual) == 32:
                        pdq[row] = np.frombuffer(perceptual, dtype=np.uint8)
                        quality[row] = 0 if found_quality is None else found_quality
        return HashColumns(sha256, pdq, quality)

    # ------------------------------------------------------------ calibrations

    def calibration(self, space_id: int) -> StoredCalibration | None:
        with reading(self._engine) as connection:
            row = connection.execute(
                select(
                    CalibrationRow.made_at, CalibrationRow.images, CalibrationRow.document
                ).where(CalibrationRow.space_id == space_id)
            ).one_or_none()
        return None if row is None else StoredCalibration(row[0], row[1], json.loads(row[2]))

    def save_calibration(self, space_id: int, images: int, document: Mapping[str, Any]) -> None:
        """The space's calibration is this one."""
        values = {
            "made_at": datetime.now(UTC),
            "images": images,
            "document": json.dumps(document, sort_keys=True),
        }
        with writing(self._engine) as connection:
            insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
            connection.execute(
                insert(CalibrationRow)
                .values(space_id=space_id, **values)
                .on_conflict_do_update(index_elements=["space_id"], set_=values)
            )

    # ------------------------------------------------------------ journals

    def journal_begun(self, plan_id: str, collection: str, path: Path) -> None:
        """The journal is known, so that `undo` finds it."""
        values = {
            "plan_id": plan_id,
            "collection": collection,
            "path": str(path),
            "applied_at": datetime.now(UTC),
        }
        with writing(self._engine) as connection:
            insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
            connection.execute(insert(JournalRow).values(**values).on_conflict_do_nothing())

    def journal_undone(self, path: Path) -> None:
        with writing(self._engine) as connection:
            connection.execute(
                update(JournalRow)
                .where(JournalRow.path == str(path))
                .values(undone_at=datetime.now(UTC))
            )

    def journals(self) -> list[StoredJournal]:
        """Every journal, the latest first."""
        j = JournalRow
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(j.plan_id, j.collection, j.path, j.applied_at, j.undone_at).order_by(
                    j.id.desc()
                )
            )
            return [StoredJournal(r[0], r[1], Path(r[2]), r[3], r[4]) for r in rows]


def _ordered(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    first, second = sorted(bytes.fromhex(each) for each in pair)
    return first, second
