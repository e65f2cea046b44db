"""The few facts by which a map of a whole collection is coloured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from likeness.catalog import Catalog
from likeness.catalog.engine import reading
from likeness.catalog.schema import ImageTable
from likeness.types import ImageIds, ImageState

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class PointFacts:
    """Of the ready images of a collection. image_ids: int64 [n] ascending.

    taken_s: int64 [n], seconds since 1970 by the camera's clock, -1 where it is not known.
    folders: int32 [n], places in `names`, the folders of the images' paths.
    """

    image_ids: ImageIds
    taken_s: npt.NDArray[np.int64]
    folders: npt.NDArray[np.int32]
    names: tuple[str, ...]


def point_facts(catalog: Catalog, collection_id: int) -> PointFacts:
    """Times and folders of all ready images; one statement."""
    t = ImageTable
    statement = (
        select(t.id, t.taken_at, t.path)
        .where(t.collection_id == collection_id, t.state == ImageState.READY.value)
        .order_by(t.id)
    )
    image_ids: list[int] = []
    taken: list[int] = []
    folders: list[int] = []
    names: dict[str, int] = {}
    with reading(catalog.engine) as connection:
        for image_id, taken_at, path in connection.execute(statement):
            image_ids.append(image_id)
            taken.append(-1 if taken_at is None else _seconds(taken_at))
            folders.append(names.setdefault(path.rpartition("/")[0], len(names)))
    return PointFacts(
        np.array(image_ids, dtype=np.int64),
        np.array(taken, dtype=np.int64),
        np.array(folders, dtype=np.int32),
        tuple(names),
    )


def _seconds(moment: datetime) -> int:
    naive = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return max(0, int((naive - _EPOCH).total_seconds()))
