"""Questions and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, Discriminator, Field, Tag

from api.schemas.basics import LARGEST_ID, Asked, Document, Flag, Number, Whole, WholeId
from api.schemas.images import Image, image_document
from search.response import SearchResponse

Weight = Annotated[
    Number,
    Field(ge=-100, le=100, description="How much it counts; negative: less of this. Not 0."),
]
Crop = Annotated[
    tuple[Number, Number, Number, Number],
    Field(description="The part of the picture that counts: left, top, right, bottom in 0..1."),
]


class TextAsked(Asked):
    """Words, for a space whose encoder knows them."""

    text: str = Field(min_length=1, examples=["a red bicycle in the snow"])
    weight: Weight = 1.0


class IdAsked(Asked):
    """An image of the collection."""

    id: WholeId
    weight: Weight = 1.0


class ImageAsked(Asked):
    """A picture in the request itself: base64 of a JPEG, PNG, WebP, … file."""

    image: Base64Bytes
    crop: Crop | None = None
    weight: Weight = 1.0


class UploadAsked(Asked):
    """A picture that a multipart request carries: the number of its `image` part, from 0."""

    upload: Whole = Field(ge=0, le=1000)
    crop: Crop | None = None
    weight: Weight = 1.0


class UrlAsked(Asked):
    """A picture that the server fetches; off unless `fetch_urls` is set."""

    url: str = Field(min_length=8, max_length=4000, examples=["https://example.org/cat.jpg"])
    crop: Crop | None = None
    weight: Weight = 1.0


class VectorAsked(Asked):
    """A vector from elsewhere."""

    vector: list[Annotated[Number, Field(ge=-1e6, le=1e6)]] = Field(min_length=1, max_length=8192)
    fingerprint: str | None = Field(
        default=None, max_length=64, description="Of the encoder that made it, when known."
    )
    weight: Weight = 1.0


_KINDS = ("text", "id", "image", "upload", "url", "vector")


def term_kind(value: Any) -> str:
    """Which term a JSON object is: told by the one field that only it has."""
    for kind in _KINDS:
        if kind in value if isinstance(value, dict) else hasattr(value, kind):
            return kind
    return "text"


TermAsked = Annotated[
    Annotated[TextAsked, Tag("text")]
    | Annotated[IdAsked, Tag("id")]
    | Annotated[ImageAsked, Tag("image")]
    | Annotated[UploadAsked, Tag("upload")]
    | Annotated[UrlAsked, Tag("url")]
    | Annotated[VectorAsked, Tag("vector")],
    Discriminator(term_kind),
]


class Question(Asked):
    """What to look for, and how to answer."""

    terms: list[TermAsked] = Field(
        default=[], description="Words, pictures, stored images and vectors, weighed together."
    )
    k: Whole = Field(default=20, ge=1, le=LARGEST_ID, description="Answers wanted.")
    offset: Whole = Field(default=0, ge=0, le=LARGEST_ID, description="Best ones to skip.")
    after: str | None = Field(
        default=None, max_length=1000, description="`next_cursor` of the page before."
    )
    where: str | None = Field(
        default=None, max_length=10_000, description="Filter, as in docs/where.md."
    )
    space: str | None = Field(
        default=None, max_length=500, description="Encoder to ask; null: the fitting one."
    )
    fusion: Literal["evidence", "rank", "none"] = "evidence"
    rerank: list[str] = Field(
        default=[], max_length=10, description="Re-rankers in order, by name.", examples=[["qe"]]
    )
    candidates: Whole = Field(
        default=200, ge=1, le=5000, description="How many of the best re-rankers see."
    )
    max_false: Number | None = Field(
        default=None, gt=0, lt=1, description="Only answers with `p` at most this; pictures only."
    )
    keep_queried: Flag = Field(
        default=False, description="Whether images named by id may be among the answers."
    )


class Questions(Asked):
    """Several questions in one request, answered in order."""

    queries: list[Question] = Field(min_length=1, max_length=1024)


class Hit(Document):
    rank: int = Field(description="From 1, counted before the page.")
    score: float = Field(description="Cosine with the question.")
    p: float | None = Field(
        description="Chance that an answer this good arises between unrelated images."
    )
    ranked_by: float | None = Field(
        description="What the order is by when it is not the score (re-ranked or fused)."
    )
    image: Image


class Notice(Document):
    """Something that is amiss though the answer is right."""

    code: str
    message: str


class Answer(Document):
    hits: list[Hit]
    collection: str
    encoder: str = Field(description="Of the space that answered, or led.")
    spaces: list[str] = Field(description="Encoders of all spaces that were asked.")
    fingerprint: str
    searched: int = Field(description="Images that were looked through.")
    matched: int = Field(description="Images that the filter left.")
    k: int
    offset: int
    rerank: list[str]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")
    revision: int = Field(description="Of the collection that this is true of.")
    snapshot: str | None
    notices: list[Notice]
    timings_ms: dict[str, float] = Field(
        description="Milliseconds per stage; questions answered together share them."
    )


class Answers(Document):
    answers: list[Answer]


def answer_document(response: SearchResponse) -> Answer:
    """A search's answer as the API shows it."""
    return Answer(
        hits=[
            Hit(
                rank=hit.rank,
                score=hit.score,
                p=hit.p,
                ranked_by=hit.ranked_by,
                image=image_document(hit.image),
            )
            for hit in response.hits
        ],
        collection=response.collection,
        encoder=response.encoder,
        spaces=list(response.spaces),
        fingerprint=response.fingerprint,
        searched=response.searched,
        matched=response.matched,
        k=response.k,
        offset=response.offset,
        rerank=list(response.rerank),
        next_cursor=response.next_cursor,
        revision=response.revision,
        snapshot=response.snapshot,
        notices=[Notice(code=each.code, message=each.message) for each in response.notices],
        timings_ms={stage: round(ms, 3) for stage, ms in response.timings_ms.items()},
    )
