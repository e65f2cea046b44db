"""Cluster runs, their clusters and members, and what stands out, as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.schemas.basics import Asked, Document, Id, Whole, WholeId
from api.schemas.images import Image, Tag, image_document
from likeness.catalog.records import ImageRow
from likeness.catalog.sorting.clusters import StoredCluster, StoredRun
from search.clusters.methods import Method, Size
from search.clusters.service import ClusterRequest

ClusterNumber = Annotated[Whole, Field(ge=0, le=2**31 - 1)]
_SHOWN_NAMES = 3


class ClusterAsked(Asked):
    """A run to be made, or made anew."""

    method: Literal["leiden", "kmeans", "hdbscan", "events"] = "leiden"
    size: Literal["small", "medium", "large"] = Field(
        default="medium", description="How large the clusters are."
    )
    k: Annotated[Whole, Field(ge=2, le=10_000)] | None = Field(
        default=None, description="How many clusters; of kmeans only."
    )
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Of the run; default: METHOD-SIZE."
    )
    words: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default=[], max_length=2000, description="Further words for names."
    )
    seed: Whole = Field(default=0, ge=0, le=2**31 - 1, description="Of random choices.")
    encoder: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Cluster in this space; default: the first."
    )

    def request(self) -> ClusterRequest:
        """As the service takes it."""
        return ClusterRequest(
            method=Method(self.method),
            size=Size(self.size),
            name=self.name,
            k=self.k,
            words=tuple(self.words),
            random_seed=self.seed,
        )


class ClusterRun(Document):
    """A saved clustering."""

    id: Id
    name: str
    method: str
    size: str
    k: int | None
    made_at: datetime
    stale: bool = Field(description="Whether images came or went since.")


class ClusterRunList(Document):
    runs: list[ClusterRun] = Field(description="The latest first.")


class ClusterFacts(Document):
    """The most frequent first; from a sample where the cluster is large."""

    first: str | None = Field(description="When its first image was taken.")
    last: str | None
    cameras: list[str]
    folders: list[str]
    place: list[float] | None = Field(description="Latitude and longitude of its middle.")
    with_place: int = Field(description="Images whose place is known.")


class Cover(Document):
    """An image to show."""

    id: Id
    width: int | None
    height: int | None
    path: str


class Cluster(Document):
    """number: changes when clusters are merged or split. cover: null once that image has gone."""

    number: int
    name: str
    named_by_user: bool
    size: int
    coherence: float = Field(description="Mean cosine of its images to its middle.")
    facts: ClusterFacts
    cover: Cover | None
    typical: list[Cover] = Field(description="Its most typical images.")
    marginal: list[Cover] = Field(description="Its least typical images.")


class ClusterList(Document):
    run: ClusterRun
    clusters: list[Cluster] = Field(description="The largest first, or the one asked for.")
    in_none: int = Field(description="Images that are in no cluster.")


class ClusterGroup(Document):
    """Clusters that are alike, as one."""

    number: int
    name: str = Field(description="Of its largest clusters.")
    images: int
    clusters: list[int] = Field(description="Their numbers.")
    cover: Cover | None


class Level(Document):
    groups: list[ClusterGroup] = Field(description="The largest first.")


class Hierarchy(Document):
    levels: list[Level] = Field(description="As asked for; each coarsens the finer ones.")


class ClusterMember(Document):
    image: Image
    typicality: float = Field(description="Cosine to the middle of its cluster.")


class ClusterMemberPage(Document):
    members: list[ClusterMember]
    next_after: int | None = Field(description="`after` of the next page; null on the last.")


class ClusterName(Asked):
    name: Annotated[str, Field(min_length=1, max_length=200)]


class MergeAsked(Asked):
    """Clusters that are one from now on."""

    clusters: list[ClusterNumber] = Field(min_length=2, max_length=1000)


class SplitAsked(Asked):
    """A cluster that is several from now on."""

    cluster: ClusterNumber
    parts: Whole = Field(default=2, ge=2, le=20)


class SurveyAsked(Asked):
    encoder: Annotated[str, Field(max_length=500)] | None = None


class Standing(Document):
    """An image that stands out."""

    image: Image
    kind: Literal["outlier", "blank", "black", "blurred"]
    measure: float = Field(
        description="Of an outlier how strange it is, 1 is usual; of the others how much there is "
        "in them: levels of contrast, or sharpness."
    )


class SurveyPage(Document):
    made_at: datetime
    stale: bool = Field(description="Whether images came or went since.")
    total: int
    images: list[Standing]
    next_after: int | None = Field(description="`after` of the next page; null on the last.")


class TagsForMany(Asked):
    """Tags for a selection of images."""

    images: list[WholeId] = Field(min_length=1, max_length=200_000)
    add: list[Tag] = Field(default=[], max_length=100)
    remove: list[Tag] = Field(default=[], max_length=100)


class TaggedMany(Document):
    images: int = Field(description="How many images there were of those named.")


def cluster_run_document(run: StoredRun, revision: int) -> ClusterRun:
    """revision: of the collection now."""
    stored = run.parameters
    return ClusterRun(
        id=run.id,
        name=run.name,
        method=str(stored["method"]),
        size=str(stored["size"]),
        k=stored["k"],
        made_at=run.made_at,
        stale=run.revision != revision,
    )


def cluster_document(
    cluster: StoredCluster,
    rows: Mapping[int, ImageRow],
    typical: Sequence[int],
    marginal: Sequence[int],
) -> Cluster:
    """rows: of the images to show; what is not among them is left out."""
    facts = cluster.facts
    return Cluster(
        number=cluster.number,
        name=cluster.name,
        named_by_user=cluster.named_by_user,
        size=cluster.size,
        coherence=round(cluster.coherence, 4),
        facts=ClusterFacts(
            first=facts.get("from"),
            last=facts.get("to"),
            cameras=list(facts.get("cameras", ())),
            folders=list(facts.get("folders", ())),
            place=facts.get("place"),
            with_place=int(facts.get("with_place", 0)),
        ),
        cover=cover_document(rows.get(cluster.cover_id)),
        typical=covers(typical, rows),
        marginal=covers(marginal, rows),
    )


def cover_document(row: ImageRow | None) -> Cover | None:
    if row is None:
        return None
    facts = row.facts
    return Cover(
        id=row.id,
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        path=row.path,
    )


def covers(image_ids: Sequence[int], rows: Mapping[int, ImageRow]) -> list[Cover]:
    found = [cover_document(rows.get(image_id)) for image_id in image_ids]
    return [each for each in found if each is not None]


def group_of_clusters(
    number: int, inside: Sequence[StoredCluster], rows: Mapping[int, ImageRow]
) -> ClusterGroup:
    """inside: at least one."""
    largest = sorted(inside, key=lambda each: (-each.size, each.number))
    names = list(dict.fromkeys(each.name for each in largest))
    name = ", ".join(names[:_SHOWN_NAMES]) + (" …" if len(names) > _SHOWN_NAMES else "")
    return ClusterGroup(
        number=number,
        name=name,
        images=sum(each.size for each in inside),
        clusters=[each.number for each in largest],
        cover=cover_document(rows.get(largest[0].cover_id)),
    )


def member_document(row: ImageRow, typicality: float) -> ClusterMember:
    return ClusterMember(image=image_document(row), typicality=round(typicality, 4))
