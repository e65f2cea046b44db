"""Uploads lie in the home, so their URIs name it: another home means other URIs."""

from __future__ import annotations

from sqlalchemy import func, select, update

from likeness.catalog import Catalog
from likeness.catalog.engine import writing
from likeness.catalog.folding import fold
from likeness.catalog.schema import ImageTable


def relocate(catalog: Catalog, old: tuple[str, str], new: tuple[str, str]) -> int:
    """Images whose URI begins with the old prefix have the new one; how many.

    old, new: (URI prefix, path prefix), each with its slash at the end. Ids, bytes and vectors
    are as before, so no reader has to be told.
    """
    t = ImageTable
    with writing(catalog.engine) as connection:
        there = func.substr(t.uri, 1, len(old[0])) == old[0]
        rows = connection.execute(select(t.id, t.uri, t.path).where(there)).all()
        for row in rows:
            path = row.path
            if path.startswith(old[1]):
                path = new[1] + path[len(old[1]) :]
            connection.execute(
                update(t)
                .where(t.id == row.id)
                .values(uri=new[0] + row.uri[len(old[0]) :], path=path, path_folded=fold(path))
            )
    return len(rows)
