"""Collections as documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from api.schemas.basics import Asked, Document
from likeness.catalog.records import CollectionSummary, SpaceState
from likeness.catalog.serving.facets import Facet as FacetRow
from likeness.types import Tower


class NewCollection(Asked):
    name: str = Field(min_length=1, max_length=200, examples=["holidays"])


class Space(Document):
    """The embeddings of a collection under one encoder."""

    encoder: str = Field(examples=["likeness:tiny"])
    fingerprint: str = Field(description="Hash of architecture, weights and preprocessing.")
    dim: int
    towers: list[Tower] = Field(description="What the encoder can embed.")
    state: SpaceState
    embedded: int = Field(description="Ready images that have a vector here.")


class Collection(Document):
    name: str
    created_at: datetime
    revision: int = Field(description="Grows with every change.")
    images: dict[str, int] = Field(description="Images by state.", examples=[{"ready": 1024}])
    failures: dict[str, int] = Field(description="Failed images by reason.")
    spaces: list[Space]


class CollectionList(Document):
    collections: list[Collection]


def collection_document(summary: CollectionSummary) -> Collection:
    """A collection as the API shows it."""
    return Collection(
        name=summary.collection.name,
        created_at=summary.collection.created_at,
        revision=summary.collection.revision,
        images={state.value: count for state, count in summary.counts.by_state.items()},
        failures=dict(summary.counts.failures),
        spaces=[
            Space(
                encoder=each.space.encoder,
                fingerprint=each.space.fingerprint,
                dim=each.space.dim,
                towers=sorted(each.space.towers),
                state=each.space.state,
                embedded=each.embedded,
            )
            for each in summary.spaces
        ],
    )


class FacetValue(Document):
    label: str
    count: int = Field(description="Ready images.")
    where: str = Field(description="The filter that leaves these.", examples=["taken:2019"])


class Facet(Document):
    name: str = Field(description="taken, camera, place, folder, size, format or tag.")
    values: list[FacetValue]


class FacetList(Document):
    facets: list[Facet]


def facets_document(found: Sequence[FacetRow]) -> FacetList:
    """Facets as the API shows them."""
    return FacetList(
        facets=[
            Facet(
                name=facet.name,
                values=[
                    FacetValue(label=each.label, count=each.count, where=each.where)
                    for each in facet.values
                ],
            )
            for facet in found
        ]
    )
