"""A finder over the live objects of a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from likeness.catalog import Catalog
from likeness.catalog.records import Space, SpaceState
from likeness.errors import QueryError
from likeness.runtime import Runtime
from likeness.types import Tower
from search.duplicates.finder import DuplicateFinder, Side
from search.duplicates.pictures import PooledLoader, ReadBytes

_MADE_FOR_COPIES = ("likeness:tiny-copy", "dino")


def copies_space(catalog: Catalog, collection: str, encoder: str | None = None) -> Space:
    """The space in which to look for copies: the one asked for, or the one that tells them best.

    Encoders made for copies come first, then those that know images only, then the oldest.
    Raises QueryError when there is none.
    """
    spaces = [
        space
        for space in catalog.spaces(catalog.collection(collection).id)
        if space.state is SpaceState.ACTIVE
    ]
    if encoder is not None:
        spaces = [space for space in spaces if space.encoder == encoder]
    if not spaces:
        wanted = f"no space of {encoder}" if encoder else "no images yet"
        raise QueryError(
            f"collection {collection!r} has {wanted}; `likeness status` shows what it has"
        )

    def preference(space: Space) -> tuple[bool, bool, bool, int]:
        copies, dino = (name in space.encoder for name in _MADE_FOR_COPIES)
        return (not copies, not dino, Tower.TEXT in space.towers, space.id)

    return min(spaces, key=preference)


def side_of(runtime: Runtime, collection: str, encoder: str | None = None) -> Side:
    """A collection's space for copies and the folder of its indexes."""
    space = copies_space(runtime.catalog, collection, encoder)
    return Side(space, runtime.index_dir(space))


@contextmanager
def open_finder(
    runtime: Runtime,
    side: Side,
    read: ReadBytes,
    *,
    note: Callable[[str], None] = lambda _text: None,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[DuplicateFinder]:
    """The finder of a collection; its decode workers end with the block.

    read: URI → bytes; search does not know where images lie.
    """
    workers = runtime.settings.decode_workers or max(1, len(os.sched_getaffinity(0)))
    with PooledLoader(read, workers=workers, limits=runtime.limits) as loader:
        yield DuplicateFinder(
            runtime.catalog,
            side,
            loader,
            lambda: runtime.encoder_of(side.space),
            device=runtime.index_device,
            note=note,
            advance=advance,
        )
