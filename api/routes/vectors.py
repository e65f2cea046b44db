"""Vectors for those who bring their own index, and matrices of who resembles whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.access import MAY_READ
from api.questions import over_limit, read_items
from api.schemas.vectors import Matrix, Vectors
from api.service import TheService
from api.vectors import embedded

router = APIRouter(prefix="/v1", tags=["vectors"])

_MOST_COMPARED = 64
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Items"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Pictures; without a `request` part they are the items.",
                    },
                    "request": {"type": "string", "description": "Items, as JSON."},
                },
            }
        },
    },
}


@router.post(
    "/embed",
    summary="Vectors of words and pictures",
    openapi_extra={"requestBody": _BODY},
    dependencies=[MAY_READ],
)
async def embed(request: Request, service: TheService) -> Vectors:
    """One vector per item, by an encoder that a collection here uses."""
    asked, uploads = await read_items(request, service.settings)
    over_limit("items", len(asked.items), service.settings.max_items, "send fewer at once")
    found = await embedded(asked, uploads, service)
    return Vectors(
        encoder=found.space.encoder,
        fingerprint=found.space.fingerprint,
        dim=found.space.dim,
        vectors=await run_in_threadpool(found.vectors.astype(float).tolist),
    )


@router.post(
    "/compare",
    summary="Who resembles whom",
    openapi_extra={"requestBody": _BODY},
    dependencies=[MAY_READ],
)
async def compare(request: Request, service: TheService) -> Matrix:
    """The cosines between up to 64 items: pictures, words, stored images, in any mixture."""
    asked, uploads = await read_items(request, service.settings)
    over_limit("items", len(asked.items), _MOST_COMPARED, "compare fewer at once")
    found = await embedded(asked, uploads, service)
    wide = found.vectors.astype(np.float64)
    return Matrix(
        encoder=found.space.encoder,
        fingerprint=found.space.fingerprint,
        labels=found.labels,
        matrix=np.clip(wide @ wide.T, -1, 1).round(6).tolist(),
    )
