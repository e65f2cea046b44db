"""Images as documents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.schemas.basics import Asked, Document, Id
from likeness.catalog.records import ImageRow
from likeness.types import ImageState


class Image(Document):
    """Everything known of an image. What decoding tells is null until it was decoded once."""

    id: Id
    path: str = Field(description="Where it came from, for people.")
    uri: str = Field(description="Where it came from, exactly.")
    state: ImageState
    reason: str | None = Field(description="Code of why it failed or went.")
    message: str | None = Field(description="The same in words.")
    sha256: str | None = Field(description="Of the bytes, hex.")
    size: int | None = Field(description="Bytes.")
    width: int | None = Field(description="Pixels, upright.")
    height: int | None
    format: str | None = Field(examples=["jpeg"])
    taken_at: datetime | None = Field(description="As the camera wrote it, without a zone.")
    camera_make: str | None
    camera_model: str | None
    lens: str | None
    latitude: float | None = Field(description="Degrees, WGS 84.")
    longitude: float | None
    added_at: datetime
    tags: list[str]
    fields: dict[str, str | float] = Field(description="Columns of the list that named it.")


def image_document(row: ImageRow) -> Image:
    """An image as the API shows it."""
    facts = row.facts
    return Image(
        id=row.id,
        path=row.path,
        uri=row.uri,
        state=row.state,
        reason=row.reason_code,
        message=row.message,
        sha256=row.sha256 or None,
        size=row.size,
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        format=facts.format if facts else None,
        taken_at=facts.taken_at if facts else None,
        camera_make=facts.camera_make if facts else None,
        camera_model=facts.camera_model if facts else None,
        lens=facts.lens if facts else None,
        latitude=facts.latitude if facts else None,
        longitude=facts.longitude if facts else None,
        added_at=row.added_at,
        tags=sorted(row.tags),
        fields=dict(row.fields),
    )


class ImagePage(Document):
    """Images by id."""

    images: list[Image]
    next_after: Id | None = Field(
        description="Give it as `after` to get the next page; null on the last."
    )


Tag = Annotated[str, Field(min_length=1, max_length=200, examples=["holiday"])]


class TagChange(Asked):
    """What becomes of an image's tags."""

    tags: list[Tag] | None = Field(default=None, max_length=100, description="These, no others.")
    add: list[Tag] = Field(default=[], max_length=100)
    remove: list[Tag] = Field(default=[], max_length=100)
