"""What can be asked: words, pictures, stored images, vectors, weighed against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from likeness.errors import QueryError
from likeness.types import RgbImage

NEGATIVE_WEIGHT = -0.5
"""What stands behind `--not`, unless it is given a weight.

Rocchio (Relevance Feedback in Information Retrieval, 1971, eq. 3) moves a query towards the mean
of what is wanted and away from the mean of what is not; the weights in use since (Manning et al.,
Introduction to Information Retrieval, 2008, section 9.1.1: 0.75 and 0.15) trust the wanted side
more, because what is not wanted says less of where to go. Embeddings share a large common part, so
a full -1 would cancel what makes a vector one of an image at all.
"""


@dataclass(frozen=True, slots=True)
class TextTerm:
    """Words, for an encoder with a text tower."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImageTerm:
    """A picture: the bytes of a file, or pixels uint8 [h, w, 3]. name: for messages."""

    image: bytes | RgbImage
    name: str = "the query image"
    weight: float = 1.0


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
    space: encoder name (or the beginning of a fingerprint) to ask, None to let the terms choose.
    keep_queried: whether images named by id may be among the answers.
    Raises QueryError on construction for what cannot be asked.
    """

    terms: tuple[Term, ...]
    k: int = 10
    offset: int = 0
    where: str | None = None
    space: str | None = None
    keep_queried: bool = False

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
        for term in self.terms:
            if not math.isfinite(term.weight) or term.weight == 0:
                raise QueryError(
                    f"the weight of {describe(term)} is {term.weight}; it must be a number other "
                    "than 0 (negative to move away)"
                )
            if isinstance(term, TextTerm) and not term.text.strip():
                raise QueryError("the words to look for are empty")


def describe(term: Term) -> str:
    """The term in a message."""
    if isinstance(term, TextTerm):
        return repr(term.text)
    if isinstance(term, ImageTerm):
        return term.name
    return f"image {term.image_id}" if isinstance(term, IdTerm) else "the query vector"
