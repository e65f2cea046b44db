"""From the terms of requests to one unit vector each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.catalog.records import Space
from likeness.encoders.interface import Encoder
from likeness.errors import ImageNotFound, QueryError, SpaceMismatch
from likeness.types import Embeddings, RgbImage
from search.request import IdTerm, ImageTerm, SearchRequest, TextTerm, VectorTerm, describe
from search.view import View

LoadImage: TypeAlias = Callable[[bytes, str], RgbImage]
"""Bytes and a name for messages → uint8 [h, w, 3], or an ImageError. Must survive hostile bytes."""

_SMALLEST_NORM = 1e-3
"""Of the weighted sum: below it float16 noise of the stored vectors decides the direction."""


def compose(
    requests: Sequence[SearchRequest],
    space: Space,
    collection: str,
    view: View,
    encoder: Callable[[], Encoder],
    load_image: LoadImage,
) -> Embeddings:
    """One query vector per request: float32 [q, d], unit length.

    The weighted sum of the terms' unit vectors, scaled to unit length again. All words are
    encoded in one call, all pictures in another; a stored image's vector is looked up.
    encoder: called only when there is something to encode.
    Raises ImageNotFound, SpaceMismatch, ImageError for a picture that cannot be used, and
    QueryError for terms that cancel out.
    """
    texts = _encode_texts(requests, encoder)
    pictures = _encode_pictures(requests, encoder, load_image)
    stored = _look_up(requests, collection, view)
    queries = np.empty((len(requests), space.dim), dtype=np.float32)
    for row, request in enumerate(requests):
        total = np.zeros(space.dim, dtype=np.float64)
        for term in request.terms:
            if isinstance(term, TextTerm):
                vector = texts[term.text]
            elif isinstance(term, ImageTerm):
                vector = pictures[id(term)]
            elif isinstance(term, IdTerm):
                vector = stored[term.image_id]
            else:
                vector = _given(term, space)
            total += term.weight * vector
        queries[row] = _unit(total, request)
    return queries


Vectors: TypeAlias = npt.NDArray[np.float32]


def _encode_texts(
    requests: Sequence[SearchRequest], encoder: Callable[[], Encoder]
) -> Mapping[str, Vectors]:
    texts = list(
        dict.fromkeys(
            term.text
            for request in requests
            for term in request.terms
            if isinstance(term, TextTerm)
        )
    )
    return dict(zip(texts, encoder().embed_texts(texts), strict=True)) if texts else {}


def _encode_pictures(
    requests: Sequence[SearchRequest], encoder: Callable[[], Encoder], load_image: LoadImage
) -> Mapping[int, Vectors]:
    terms = [term for request in requests for term in request.terms if isinstance(term, ImageTerm)]
    if not terms:
        return {}
    pixels = [pixels_of(term, load_image) for term in terms]
    return dict(zip(map(id, terms), encoder().embed(pixels), strict=True))


def pixels_of(term: ImageTerm, load_image: LoadImage) -> RgbImage:
    """The pixels of a picture, or of the part of it that counts: uint8 [h, w, 3].

    Raises ImageError for bytes that cannot be used, QueryError for an array that is no picture.
    """
    whole = _whole_pixels(term, load_image)
    if term.crop is None:
        return whole
    height, width = whole.shape[:2]
    left, top = int(term.crop[0] * width), int(term.crop[1] * height)
    right, bottom = math.ceil(term.crop[2] * width), math.ceil(term.crop[3] * height)
    return whole[top:bottom, left:right]


def _whole_pixels(term: ImageTerm, load_image: LoadImage) -> RgbImage:
    if isinstance(term.image, bytes):
        return load_image(term.image, term.name)
    shape, dtype = term.image.shape, term.image.dtype
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not term.image.size:
        raise QueryError(
            f"{term.name} is an array of {dtype} {list(shape)}; pixels are uint8 [h, w, 3]"
        )
    return term.image


def _look_up(
    requests: Sequence[SearchRequest], collection: str, view: View
) -> Mapping[int, Vectors]:
    wanted = sorted(
        {
            term.image_id
            for request in requests
            for term in request.terms
            if isinstance(term, IdTerm)
        }
    )
    ids, vectors = view.vectors(np.array(wanted, dtype=np.int64))
    found = dict(zip(ids.tolist(), vectors.astype(np.float32), strict=True))
    for image_id in wanted:
        if image_id not in found:
            raise ImageNotFound(image_id, collection)
    return {image_id: _normalised(vector) for image_id, vector in found.items()}


def _given(term: VectorTerm, space: Space) -> Vectors:
    vector = np.asarray(term.vector, dtype=np.float32)
    if vector.shape != (space.dim,):
        asked = f"an encoder whose vectors have shape {list(vector.shape)}"
        raise SpaceMismatch(asked, f"{space.encoder} ({space.dim} numbers)")
    if not np.isfinite(vector).all() or not vector.any():
        raise QueryError("the query vector holds NaN or infinity, or nothing but zeros")
    return _normalised(vector)


def _normalised(vector: npt.NDArray[np.float32]) -> Vectors:
    wide = vector.astype(np.float64)
    return (wide / np.linalg.norm(wide)).astype(np.float32)


def _unit(total: npt.NDArray[np.float64], request: SearchRequest) -> Vectors:
    norm = float(np.linalg.norm(total))
    heaviest = max(abs(term.weight) for term in request.terms)
    if not np.isfinite(norm) or norm < _SMALLEST_NORM * heaviest:
        terms = ", ".join(f"{describe(term)} × {term.weight:g}" for term in request.terms)
        raise QueryError(
            f"the terms cancel out ({terms}), so there is no direction to look in; "
            "change a weight or drop a term"
        )
    return (total / norm).astype(np.float32)
