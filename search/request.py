"""What can be asked: words, pictures, stored images, vectors, weighed against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.errors import QueryError
from likeness.types import RgbImage
from search.rerank.registry import find_reranker

NEGATIVE_WEIGHT = -0.5
"""What stands behind `--not`, unless it is given a weight.

Rocchio (Relevance Feedback in Information Retrieval, 1971, eq. 3) moves a query towards the mean
of what is wanted and away from the mean of what is not; the weights in use since (Manning et al.,
Introduction to Information Retrieval, 2008, section 9.1.1: 0.75 and 0.15) trust the wanted side
more, because what is not wanted says less of where to go. Embeddings share a large common part, so
a full -1 would cancel what makes a vector one of an image at all.
"""


MOST_CANDIDATES = 5000

Crop: TypeAlias = tuple[float, float, float, float]
Fusion: TypeAlias = Literal["evidence", "rank", "none"]


@dataclass(frozen=True, slots=True)
class TextTerm:
    """Words, for an encoder with a text tower."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImageTerm:
    """A picture: the bytes of a file, or pixels uint8 [h, w, 3]. name: for messages.

    crop: the part that counts, left, top, right, bottom in 0..1 of its width and height; None
    for all of it.
    """

    image: bytes | RgbImage
    name: str = "the query image"
    weight: float = 1.0
    crop: Crop | None = None


@dataclass(frozen=True, slots=True)
class IdTerm:
    """An image that the collection holds."""

    image_id: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class VectorTerm:
    """A vector from elsewhere: float [d]. fingerprint: of the encoder that made it, when known."""

    vector: npt.NDArray[np.floating]
    fingerprint: str | None = None
    weight: float = 1.0


Term: TypeAlias = TextTerm | ImageTerm | IdTerm | VectorTerm


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One question.

    terms: at least one; a negative weight moves away from its term.
    k: answers wanted; offset: best ones skipped, for paging. where: the filter, as typed.
    after: cursor of the page before (`SearchResponse.next_cursor`), instead of an offset.
    space: encoder name (or the beginning of a fingerprint) to ask, None to let the terms choose.
    fusion: how pictures are answered where a collection has several spaces: by the sum of their
    evidence, by rank, or not at all.
    rerank: names of re-rankers, applied in this order to the best `candidates`.
    max_false: only hits with p at most this (`search.scores`); for pictures only.
    keep_queried: whether images named by id may be among the answers.
    Raises QueryError on construction for what cannot be asked.
    """

    terms: tuple[Term, ...]
    k: int = 10
    offset: int = 0
    where: str | None = None
    after: str | None = None
    space: str | None = None
    fusion: Fusion = "evidence"
    rerank: tuple[str, ...] = ()
    candidates: int = 200
    max_false: float | None = None
    keep_queried: bool = False

    @property
    def by_pictures(self) -> bool:
        """Whether it asks by pictures alone, none of them negative, so that p is known."""
        return all(isinstance(t, ImageTerm | IdTerm) and t.weight > 0 for t in self.terms)

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError(
                "there is nothing to look for; give words, an image, an id or a vector "
                "(`likeness images --where …` lists by filter alone)"
            )
        if self.k < 1 or self.offset < 0:
            raise QueryError(
                f"k is {self.k} and offset {self.offset}; k must be at least 1, offset at least 0"
            )
        if self.after is not None and self.offset:
            raise QueryError("a cursor and an offset say twice where the page begins; give one")
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise QueryError(
                f"candidates is {self.candidates}; it must be between 1 and {MOST_CANDIDATES:,}"
            )
        if self.max_false is not None and not 0 < self.max_false < 1:
            raise QueryError(
                f"max_false is {self.max_false}; it is a chance, between 0 and 1, such as 0.01"
            )
        if self.max_false is not None and not self.by_pictures:
            raise QueryError(
                "max_false needs p, which is known for pictures and stored images only, without "
                "words, vectors or negatives; drop it or those"
            )
        if self.fusion not in ("evidence", "rank", "none"):
            raise QueryError(f"there is no fusion {self.fusion!r}: evidence, rank or none")
        for name in self.rerank:
            find_reranker(name)
        for term in self.terms:
            _check(term)


def _check(term: Term) -> None:
    if not math.isfinite(term.weight) or term.weight == 0:
        raise QueryError(
            f"the weight of {describe(term)} is {term.weight}; it must be a number other "
            "than 0 (negative to move away)"
        )
    if isinstance(term, TextTerm) and not term.text.strip():
        raise QueryError("the words to look for are empty")
    if isinstance(term, ImageTerm) and term.crop is not None:
        left, top, right, bottom = term.crop
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise QueryError(
                f"the crop of {describe(term)} is {list(term.crop)}; it is left, top, right, "
                "bottom, each between 0 and 1, left before right and top before bottom"
            )


def describe(term: Term) -> str:
    """The term in a message."""
    if isinstance(term, TextTerm):
        return repr(term.text)
    if isinstance(term, ImageTerm):
        return term.name
    return f"image {term.image_id}" if isinstance(term, IdTerm) else "the query vector"
