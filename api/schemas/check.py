"""Whether images are already there, as documents."""

from __future__ import annotations

from pydantic import Field

from api.schemas.basics import Document
from api.schemas.duplicates import Evidence, evidence_document
from api.schemas.images import Image, image_document
from api.sorting.finding import Checked
from search.duplicates.check import Match
from search.duplicates.relations import Relation


class CheckMatch(Document):
    """An image that is already there. evidence: from the image that was sent to this one."""

    image: Image
    relation: Relation
    score: float = Field(description="0..1, within the relation.")
    cosine: float = Field(description="Of the embeddings.")
    hash_bits: int | None = Field(description="How many of the 256 bits of PDQ differ.")
    evidence: Evidence | None


class CheckedImage(Document):
    """What is known of an image that was sent. reason, message: why it cannot be looked at."""

    name: str = Field(description="What the sender calls it.")
    known: bool = Field(description="Whether there are matches.")
    matches: list[CheckMatch] = Field(description="The most certain first.")
    reason: str | None
    message: str | None


class CheckedList(Document):
    images: list[CheckedImage] = Field(description="In the order in which they were sent.")


def checked_document(checked: Checked) -> CheckedImage:
    error = checked.error
    return CheckedImage(
        name=checked.name,
        known=bool(checked.matches),
        matches=[_match(match) for match in checked.matches],
        reason=None if error is None else error.code,
        message=None if error is None else str(error),
    )


def _match(match: Match) -> CheckMatch:
    pair = match.pair
    return CheckMatch(
        image=image_document(match.image),
        relation=match.relation,
        score=round(pair.score, 4),
        cosine=round(pair.cosine, 4),
        hash_bits=pair.bits,
        evidence=evidence_document(pair.evidence),
    )
