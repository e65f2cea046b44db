"""Vectors, matrices and explanations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from api.schemas.basics import Asked, Document, Id
from api.schemas.search import (
    IdAsked,
    ImageAsked,
    TextAsked,
    UploadAsked,
    UrlAsked,
    VectorAsked,
    term_kind,
)
from search.explain import Explanation as Explained

ItemAsked = Annotated[
    Annotated[TextAsked, Tag("text")]
    | Annotated[IdAsked, Tag("id")]
    | Annotated[ImageAsked, Tag("image")]
    | Annotated[UploadAsked, Tag("upload")]
    | Annotated[UrlAsked, Tag("url")]
    | Annotated[VectorAsked, Tag("vector")],
    Discriminator(term_kind),
]


class Items(Asked):
    """Words and pictures to put side by side. Weights do not matter here."""

    items: list[ItemAsked] = Field(
        default=[], examples=[[{"text": "a red bicycle"}, {"text": "a dog"}]]
    )
    encoder: str | None = Field(
        default=None,
        max_length=500,
        description="One that a collection uses; null: the first that suits the items.",
    )
    collection: str | None = Field(
        default=None, max_length=200, description="Needed for items that name stored images."
    )


class Vectors(Document):
    encoder: str
    fingerprint: str = Field(description="Give it along when the vectors come back in a search.")
    dim: int
    vectors: list[list[float]] = Field(description="One per item, in order, of length 1.")


class Matrix(Document):
    encoder: str
    fingerprint: str
    labels: list[str] = Field(description="The items, for people.")
    matrix: list[list[float]] = Field(description="Cosines, a row per item.")


class Region(Document):
    """The part that two pictures share."""

    query: tuple[float, float, float, float] = Field(
        description="Left, top, right, bottom in 0..1 of the query."
    )
    candidate: list[tuple[float, float]] = Field(
        description="The same four corners in the stored image; they may lie outside."
    )
    transform: list[list[float]] = Field(description="2 × 3: (x, y, 1) of the query → (x, y).")
    mirrored: bool


class Match(Document):
    """A patch of the query and its partner, by their centres."""

    query: tuple[float, float]
    candidate: tuple[float, float]
    likeness: float
    verified: bool = Field(description="Whether the pair obeys the map.")


class Attention(Document):
    """Where the query's encoder looked."""

    box: tuple[float, float, float, float] = Field(description="What it saw of the query, 0..1.")
    map: list[list[float]] = Field(description="Rows from the top, 0..1.")


class Explanation(Document):
    id: Id
    encoder: str
    region: Region | None
    evidence: float = Field(description="0 without a region; about 10 convinces.")
    matches: list[Match]
    attention: Attention | None
    missing: list[str] = Field(description="What could not be said, and why.")


def explanation_document(found: Explained, image_id: int, encoder: str) -> Explanation:
    """An explanation as the API shows it."""
    return Explanation.model_validate({"id": image_id, "encoder": encoder, **found.document()})
