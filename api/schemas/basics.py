"""Pieces that several documents share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, Strict

LARGEST_ID = 2**63 - 1

Id = Annotated[int, Field(ge=0, le=LARGEST_ID)]

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
"""As JSON has them in requests: `false` is not 0, and "3" is not 3. Parts of a form are strings;
who reads those says `strict=False`."""
WholeId = Annotated[Whole, Field(ge=0, le=LARGEST_ID)]
ImageIdPath = Annotated[int, Path(ge=0, le=LARGEST_ID, description="Id of a stored image.")]
CollectionPath = Annotated[
    str,
    Path(min_length=1, max_length=200, description="Name of a collection.", examples=["default"]),
]
PageAfter = Annotated[
    int, Query(ge=0, le=2**31 - 1, description="`next_after` of the page before.")
]
PageLimit = Annotated[int, Query(ge=1, le=1000)]
WhereQuery = Annotated[
    str | None,
    Query(
        max_length=10_000,
        description="Filter, as in docs/where.md.",
        examples=["taken:2019..2021 camera:*Pixel*"],
    ),
]


class Document(BaseModel):
    """An answer. Fields are final; there are no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(BaseModel):
    """A request. Unknown fields are errors, so that a typing error is not ignored in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Where the code is explained.")
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status, repeated.")
    code: str = Field(description="The kind of problem, for programs; stable.")
    detail: str = Field(description="What happened this time, and what to do about it.")


_STATUSES = {
    400: "The request cannot be read.",
    401: "An API key is needed.",
    403: "The key, or the server's settings, do not allow this.",
    404: "There is no such thing.",
    405: "The address does not know this method.",
    408: "The body did not arrive in time.",
    409: "It contradicts what is there.",
    410: "The image's file is out of reach.",
    413: "The body, or an image in it, is too large.",
    415: "Not an image that can be read, or not a body that is taken here.",
    422: "The request is understood and cannot be carried out as it is.",
    500: "Something went wrong here.",
    503: "Try again in a while.",
}

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for status, description in _STATUSES.items()
}
"""For every route: whatever goes wrong is a `Problem`."""
