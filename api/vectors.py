"""Items to vectors, for callers who want the numbers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from starlette.concurrency import run_in_threadpool

from api.errors import EncoderNotServed
from api.questions import Uploads, to_term
from api.schemas.vectors import Items
from api.service import Service
from likeness.catalog.records import Space, SpaceState
from likeness.catalog.serving.spaces import all_spaces
from likeness.encoders.interface import Encoder
from likeness.errors import ImageNotFound, NoTextTower, QueryError, SpaceMismatch
from likeness.types import Embeddings, Tower
from search.compose import pixels_of
from search.request import IdTerm, ImageTerm, Term, TextTerm, VectorTerm, describe

_AT_ONCE = 32
"""Items per pass of the encoder: a large request lets others in between."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """vectors: float32 [n, d], L2 norm 1. labels: the items, for people."""

    space: Space
    labels: list[str]
    vectors: Embeddings


async def embedded(asked: Items, uploads: Uploads, service: Service) -> Embedded:
    """The items as vectors of one encoder.

    Raises EncoderNotServed, CollectionNotFound, ImageNotFound, NoTextTower, SpaceMismatch,
    ImageError.
    """
    terms = await asyncio.gather(*(to_term(item, uploads, service) for item in asked.items))
    if not terms:
        raise QueryError("there are no items; give words or pictures")
    words = any(isinstance(term, TextTerm) for term in terms)
    space = await run_in_threadpool(_space, asked, service, words=words)
    vectors = await run_in_threadpool(_embed, terms, space, service, asked.collection)
    return Embedded(space, [describe(term) for term in terms], vectors)


def _space(asked: Items, service: Service, *, words: bool) -> Space:
    """A space of the collection, or of any, whose encoder is the one asked for or suits."""
    if asked.collection is not None:
        spaces = service.catalog.spaces(service.collection(asked.collection).id)
    else:
        spaces = all_spaces(service.catalog)
    served = [space for space in spaces if space.state is SpaceState.ACTIVE]
    named = [space for space in served if asked.encoder in (None, space.encoder)]
    if not named:
        have = ", ".join(dict.fromkeys(space.encoder for space in served)) or "none yet"
        raise EncoderNotServed(
            f"no collection here is embedded with {asked.encoder or 'any encoder'} (in use: {have})"
        )
    suiting = [space for space in named if not words or Tower.TEXT in space.towers]
    if not suiting:
        raise NoTextTower(named[0].encoder)
    return suiting[0]


def _embed(
    terms: Sequence[Term], space: Space, service: Service, collection: str | None
) -> Embeddings:
    """In a thread."""
    encoder = service.encoders.of(space)
    vectors = np.empty((len(terms), space.dim), dtype=np.float32)
    texts = [(row, term) for row, term in enumerate(terms) if isinstance(term, TextTerm)]
    for start in range(0, len(texts), _AT_ONCE):
        part = texts[start : start + _AT_ONCE]
        vectors[[row for row, _ in part]] = encoder.embed_texts([term.text for _, term in part])
    _embed_pictures(terms, encoder, service, vectors)
    stored = [(row, term) for row, term in enumerate(terms) if isinstance(term, IdTerm)]
    if stored:
        _look_up(stored, space, service, collection, vectors)
    for row, term in enumerate(terms):
        if isinstance(term, VectorTerm):
            if term.vector.shape != (space.dim,):
                given = f"an encoder whose vectors have {len(term.vector)} numbers"
                raise SpaceMismatch(given, f"{space.encoder} ({space.dim} numbers)")
            vectors[row] = term.vector
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise QueryError("a vector is all zeros or too large to have a length")
    unit: Embeddings = (vectors / norms).astype(np.float32)
    return unit


def _embed_pictures(
    terms: Sequence[Term], encoder: Encoder, service: Service, vectors: Embeddings
) -> None:
    pictures = [(row, term) for row, term in enumerate(terms) if isinstance(term, ImageTerm)]
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        pixels = [pixels_of(term, service.pictures.load) for _, term in part]
        vectors[[row for row, _ in part]] = encoder.embed(pixels)


def _look_up(
    stored: Sequence[tuple[int, IdTerm]],
    space: Space,
    service: Service,
    collection: str | None,
    vectors: Embeddings,
) -> None:
    if collection is None:
        raise QueryError("items name stored images by id; say of which `collection`")
    ids, found = service.catalog.vectors(space.id, [term.image_id for _, term in stored])
    row_of = {image_id: row for row, image_id in enumerate(ids.tolist())}
    for row, term in stored:
        if term.image_id not in row_of:
            raise ImageNotFound(term.image_id, collection)
        vectors[row] = found[row_of[term.image_id]]
