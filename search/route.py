"""Which of a collection's spaces answers a query."""

from __future__ import annotations

from collections.abc import Sequence

from likeness.catalog.records import Space, SpaceState
from likeness.errors import NoTextTower, QueryError, SpaceMismatch
from likeness.types import Tower
from search.request import IdTerm, ImageTerm, SearchRequest, TextTerm, VectorTerm


def choose_space(request: SearchRequest, collection: str, spaces: Sequence[Space]) -> Space:
    """The space that can answer every term of the request.

    spaces: of the collection, oldest first. Words go to the first with a text tower. Pictures
    alone go to the first that was trained for look only (no text tower) when there is one: such
    encoders tell instances and copies apart better. A vector goes where its fingerprint points.
    Raises QueryError without any space, or for an unknown one; NoTextTower; SpaceMismatch.
    """
    active = [space for space in spaces if space.state is SpaceState.ACTIVE]
    if request.space is not None:
        active = [space for space in spaces if _is_named(space, request.space)]
        if not active:
            names = ", ".join(space.encoder for space in spaces) or "none yet"
            raise QueryError(
                f"collection {collection!r} has no space {request.space!r} (spaces: {names}); add "
                f"one with `likeness reindex --collection {collection} --encoder {request.space}`"
            )
    if not active:
        raise QueryError(
            f"collection {collection!r} holds no embeddings yet; "
            f"`likeness index --collection {collection} SOURCE` makes them"
        )
    wanted = [t.fingerprint for t in request.terms if isinstance(t, VectorTerm) and t.fingerprint]
    for fingerprint in wanted:
        of_it = [space for space in active if space.fingerprint == fingerprint]
        if not of_it:
            stored = ", ".join(f"{space.encoder} ({space.fingerprint[:12]})" for space in active)
            raise SpaceMismatch(f"an encoder with fingerprint {fingerprint[:12]}", stored)
        active = of_it
    if any(isinstance(term, TextTerm) for term in request.terms):
        with_words = [space for space in active if Tower.TEXT in space.towers]
        if not with_words:
            raise NoTextTower(active[0].encoder)
        return with_words[0]
    if any(isinstance(term, ImageTerm) for term in request.terms) or not wanted:
        look_only = [space for space in active if Tower.TEXT not in space.towers]
        return (look_only or active)[0]
    return active[0]


def companions(request: SearchRequest, lead: Space, spaces: Sequence[Space]) -> list[Space]:
    """Further spaces whose answers are fused with the leading one's.

    Those of every encoder, for a request of pictures and stored images that names no space.
    """
    if request.fusion == "none" or request.space is not None:
        return []
    if not all(isinstance(term, ImageTerm | IdTerm) for term in request.terms):
        return []
    return [space for space in spaces if space.state is SpaceState.ACTIVE and space.id != lead.id]


def _is_named(space: Space, name: str) -> bool:
    return space.encoder == name or (len(name) >= 8 and space.fingerprint.startswith(name))
