"""Pages of a cluster's members, as lists and grids show them."""

from __future__ import annotations

from sqlalchemy import select

from likeness.catalog import Catalog
from likeness.catalog.engine import reading
from likeness.catalog.schema import ImageTable
from likeness.catalog.sorting.schema import MemberRow
from likeness.types import ImageState


def member_page(
    catalog: Catalog, run_id: int, number: int, *, offset: int, limit: int, least: bool = False
) -> list[tuple[int, float]]:
    """(image id, typicality) of ready members, the most typical first; least: the most marginal.

    number: of the cluster; -1 for the images that are in none.
    """
    m, t = MemberRow, ImageTable
    order = m.typicality if least else m.typicality.desc()
    statement = (
        select(m.image_id, m.typicality)
        .join(t, t.id == m.image_id)
        .where(m.run_id == run_id, m.number == number, t.state == ImageState.READY.value)
        .order_by(order, m.image_id)
        .offset(offset)
        .limit(limit)
    )
    with reading(catalog.engine) as connection:
        return [(int(image_id), float(close)) for image_id, close in connection.execute(statement)]
