"""Saved clusterings: runs, their clusters and members, and what people have decided about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, select, update

from likeness.catalog import Catalog
from likeness.catalog.engine import reading, writing
from likeness.catalog.rows import check_name
from likeness.catalog.sorting.schema import ChoiceRow, ClusterRow, ClusterRunRow, MemberRow
from likeness.errors import QueryError
from likeness.types import ImageIds

_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class StoredRun:
    """parameters: enough to repeat it. revision: of the collection when it was made."""

    id: int
    collection_id: int
    space_id: int
    name: str
    parameters: Mapping[str, Any]
    revision: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class StoredCluster:
    """cover_id: the image that stands for it. centroid: float16 [d], L2 norm 1."""

    number: int
    name: str
    named_by_user: bool
    cover_id: int
    size: int
    coherence: float
    facts: Mapping[str, Any]
    centroid: npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Members:
    """image_ids: int64 [m] ascending; numbers: int32 [m], -1 for none; typicality: float32 [m]."""

    image_ids: ImageIds
    numbers: npt.NDArray[np.int32]
    typicality: npt.NDArray[np.float32]


class ClusterRecords:
    """The catalog's part in clustering. Each call: one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._engine = catalog.engine

    def save_run(
        self,
        collection_id: int,
        space_id: int,
        name: str,
        *,
        parameters: Mapping[str, Any],
        revision: int,
        clusters: Sequence[StoredCluster],
        members: Members,
    ) -> int:
        """The run of this name is this one; choices made about an earlier one are kept."""
        r = ClusterRunRow
        values = {
            "space_id": space_id,
            "parameters": json.dumps(parameters, sort_keys=True),
            "revision": revision,
            "made_at": datetime.now(UTC),
        }
        with writing(self._engine) as connection:
            run_id = connection.execute(
                select(r.id).where(r.collection_id == collection_id, r.name == name)
            ).scalar_one_or_none()
            if run_id is None:
                run_id = connection.execute(
                    insert(r)
                    .values(
                        collection_id=collection_id, name=check_name(name, "run name"), **values
                    )
                    .returning(r.id)
                ).scalar_one()
            else:
                connection.execute(update(r).where(r.id == run_id).values(**values))
            self._write(connection, run_id, clusters, members)
        return int(run_id)

    def replace(self, run_id: int, clusters: Sequence[StoredCluster], members: Members) -> None:
        """The run has these clusters and members."""
        with writing(self._engine) as connection:
            self._write(connection, run_id, clusters, members)

    def rename(self, run_id: int, number: int, name: str) -> None:
        """A person calls the cluster so."""
        c = ClusterRow
        with writing(self._engine) as connection:
            connection.execute(
                update(c)
                .where(c.run_id == run_id, c.number == number)
                .values(name=name, named_by_user=True)
            )

    def add_members(self, run_id: int, members: Members, revision: int) -> None:
        """Further images belong to the run's clusters, whose sizes follow."""
        c = ClusterRow
        with writing(self._engine) as connection:
            self._insert_members(connection, run_id, members)
            numbers, counts = np.unique(members.numbers, return_counts=True)
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
                connection.execute(
                    update(c)
                    .where(c.run_id == run_id, c.number == number)
                    .values(size=c.size + count)
                )
            connection.execute(
                update(ClusterRunRow).where(ClusterRunRow.id == run_id).values(revision=revision)
            )

    def runs(self, collection_id: int) -> list[StoredRun]:
        """The collection's runs, the latest first."""
        r = ClusterRunRow
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(*r.__table__.columns)
                .where(r.collection_id == collection_id)
                .order_by(r.made_at.desc(), r.id.desc())
            ).all()
        return [_run(row) for row in rows]

    def run(self, collection_id: int, name: str | None) -> StoredRun:
        """The run of this name; None: the latest. Raises QueryError naming what there is."""
        runs = self.runs(collection_id)
        for run in runs:
            if name is None or run.name == name:
                return run
        have = ", ".join(run.name for run in runs) or "none yet"
        raise QueryError(
            f"there is no clustering {name!r} (there are: {have}); make one with `likeness cluster`"
            if name is not None
            else "the collection has not been clustered yet; `likeness cluster` does it"
        )

    def drop_run(self, run_id: int) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(ClusterRunRow).where(ClusterRunRow.id == run_id))

    def clusters(self, run_id: int) -> list[StoredCluster]:
        """By number."""
        c = ClusterRow
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(*c.__table__.columns).where(c.run_id == run_id).order_by(c.number)
            ).all()
        return [
            StoredCluster(
                row.number,
                row.name,
                row.named_by_user,
                row.cover_id,
                row.size,
                row.coherence,
                json.loads(row.facts),
                np.frombuffer(row.centroid, dtype="<f2").astype(np.float16),
            )
            for row in rows
        ]

    def members(self, run_id: int, number: int | None = None) -> Members:
        """Of one cluster, or of all of them and of none."""
        m = MemberRow
        statement = select(m.image_id, m.number, m.typicality).where(m.run_id == run_id)
        if number is not None:
            statement = statement.where(m.number == number)
        with reading(self._engine) as connection:
            rows = connection.execute(statement.order_by(m.image_id)).all()
        return Members(
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([row[1] for row in rows], dtype=np.int32),
            np.array([row[2] for row in rows], dtype=np.float32),
        )

    def typical(self, run_id: int, number: int, limit: int, *, least: bool = False) -> list[int]:
        """Image ids of the most typical members; least: of the most marginal ones."""
        m = MemberRow
        order = m.typicality if least else m.typicality.desc()
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(m.image_id)
                .where(m.run_id == run_id, m.number == number)
                .order_by(order, m.image_id)
                .limit(limit)
            ).scalars()
            return list(rows)

    def add_choice(self, run_id: int, document: Mapping[str, Any]) -> None:
        """A person's decision, to be replayed after every re-run."""
        with writing(self._engine) as connection:
            connection.execute(
                insert(ChoiceRow).values(
                    run_id=run_id,
                    document=json.dumps(document, sort_keys=True),
                    made_at=datetime.now(UTC),
                )
            )

    def choices(self, run_id: int) -> list[Mapping[str, Any]]:
        """In the order in which they were made."""
        c = ChoiceRow
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(c.document).where(c.run_id == run_id).order_by(c.id)
            ).scalars()
            return [json.loads(row) for row in rows]

    def sizes(self, run_id: int) -> dict[int, int]:
        """Members per cluster number, -1 included."""
        m = MemberRow
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(m.number, func.count()).where(m.run_id == run_id).group_by(m.number)
            )
            return {int(number): int(count) for number, count in rows}

    def _write(
        self,
        connection: Connection,
        run_id: int,
        clusters: Sequence[StoredCluster],
        members: Members,
    ) -> None:
        connection.execute(delete(MemberRow).where(MemberRow.run_id == run_id))
        connection.execute(delete(ClusterRow).where(ClusterRow.run_id == run_id))
        rows = [
            {
                "run_id": run_id,
                "number": cluster.number,
                "name": cluster.name,
                "named_by_user": cluster.named_by_user,
                "cover_id": cluster.cover_id,
                "size": cluster.size,
                "coherence": cluster.coherence,
                "facts": json.dumps(cluster.facts, sort_keys=True),
                "centroid": cluster.centroid.astype("<f2").tobytes(),
            }
            for cluster in clusters
        ]
        if rows:
            connection.execute(insert(ClusterRow), rows)
        self._insert_members(connection, run_id, members)

    @staticmethod
    def _insert_members(connection: Connection, run_id: int, members: Members) -> None:
        for start in range(0, len(members.image_ids), _PAGE):
            page = slice(start, start + _PAGE)
            rows = [
                {"run_id": run_id, "image_id": i, "number": n, "typicality": t}
                for i, n, t in zip(
                    members.image_ids[page].tolist(),
                    members.numbers[page].tolist(),
                    members.typicality[page].tolist(),
                    strict=True,
                )
            ]
            connection.execute(insert(MemberRow), rows)


def _run(row: Any) -> StoredRun:
    return StoredRun(
        row.id,
        row.collection_id,
        row.space_id,
        row.name,
        json.loads(row.parameters),
        row.revision,
        row.made_at,
    )
