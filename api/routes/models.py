"""The encoders there are, and the re-rankers."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from api.access import MAY_READ
from api.schemas.basics import Document
from api.service import TheService
from likeness.catalog.serving.spaces import all_spaces
from likeness.encoders.catalogue import list_models
from search.rerank.registry import RERANKERS

router = APIRouter(prefix="/v1/models", tags=["operation"])


class Model(Document):
    """An encoder that can be named."""

    name: str
    family: str
    purposes: list[str]
    dim: int
    input_size: int = Field(description="Side of the square that it sees, pixels.")
    parameters: int
    text_parameters: int
    licence: str
    here: bool = Field(description="Whether its weights are on this machine.")
    in_use: bool = Field(description="Whether a collection is embedded with it.")


class Reranker(Document):
    name: str
    title: str
    paper: str
    needs_pixels: bool = Field(description="It reads files, and takes longer.")


class ModelList(Document):
    models: list[Model]
    rerankers: list[Reranker]


@router.get("", summary="Encoders and re-rankers", dependencies=[MAY_READ])
def list_all(service: TheService) -> ModelList:
    """What `space`, `encoder` and `rerank` may name."""
    used = {space.encoder for space in all_spaces(service.catalog)}
    return ModelList(
        models=[
            Model(
                name=row.record.name,
                family=row.record.family,
                purposes=[str(purpose) for purpose in row.record.purposes],
                dim=row.record.dim,
                input_size=row.record.input_size,
                parameters=row.record.parameters,
                text_parameters=row.record.text_parameters or 0,
                licence=row.record.licence,
                here=row.status.present,
                in_use=row.record.name in used,
            )
            for row in list_models(service.settings.weights)
        ],
        rerankers=[
            Reranker(
                name=record.name,
                title=record.title,
                paper=record.paper,
                needs_pixels=record.needs_pixels,
            )
            for record in RERANKERS
        ],
    )
