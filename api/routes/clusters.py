"""Clusters: runs, what is in them, corrections."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response, status

from api.access import MAY_READ, MAY_WRITE
from api.routes.jobs import accepted
from api.schemas.basics import LARGEST_ID, CollectionPath, PageAfter, PageLimit
from api.schemas.clusters import (
    Cluster,
    ClusterAsked,
    ClusterList,
    ClusterMemberPage,
    ClusterName,
    ClusterRunList,
    Hierarchy,
    Level,
    MergeAsked,
    SplitAsked,
    cluster_document,
    cluster_run_document,
    group_of_clusters,
    member_document,
)
from api.schemas.jobs import Job
from api.service import TheService
from api.sorting.service import Sorting, TheSorting
from likeness.catalog.records import Collection
from likeness.catalog.sorting.clusters import StoredCluster, StoredRun
from likeness.catalog.sorting.members import member_page
from likeness.errors import QueryError
from likeness.types import ImageState

router = APIRouter(prefix="/v1/collections/{collection}/clusters", tags=["clusters"])

RunId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Id of a run.")]
Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="Number of a cluster in its run.")]
AnyNumber = Annotated[
    int, Path(ge=-1, le=2**31 - 1, description="Number of a cluster; -1: images in none.")
]


@router.post(
    "/runs",
    summary="Cluster a collection",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def make_run(
    collection: CollectionPath, asked: ClusterAsked, service: TheService, sorting: TheSorting
) -> Response:
    """A job that makes the run. One of the same name is made anew, with the names, merges and
    splits that people gave it."""
    known = service.collection(collection)
    if asked.k is not None and asked.method != "kmeans":
        raise QueryError("k goes with method kmeans; the others find how many clusters there are")
    return accepted(sorting.cluster(known, asked.request(), asked.encoder))


@router.get("/runs", summary="Saved runs", dependencies=[MAY_READ])
def list_runs(
    collection: CollectionPath, service: TheService, sorting: TheSorting
) -> ClusterRunList:
    known = service.collection(collection)
    runs = sorting.clustering.runs(known)
    return ClusterRunList(runs=[cluster_run_document(run, known.revision) for run in runs])


@router.get("/runs/{run_id}", summary="The clusters of a run", dependencies=[MAY_READ])
def get_run(
    collection: CollectionPath,
    run_id: RunId,
    service: TheService,
    sorting: TheSorting,
    typical: Annotated[int, Query(ge=0, le=20, description="Typical images of each.")] = 4,
    marginal: Annotated[int, Query(ge=0, le=20, description="Marginal images of each.")] = 0,
) -> ClusterList:
    """The largest first, each with its cover, name, facts and coherence."""
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    clusters = sorting.clustering.records.clusters(run.id)
    clusters.sort(key=lambda each: (-each.size, each.number))
    return ClusterList(
        run=cluster_run_document(run, known.revision),
        clusters=_documents(sorting, service, known, run, clusters, typical, marginal),
        in_none=sorting.clustering.records.sizes(run.id).get(-1, 0),
    )


@router.delete(
    "/runs/{run_id}",
    summary="Forget a run",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    dependencies=[MAY_WRITE],
)
def forget_run(
    collection: CollectionPath, run_id: RunId, service: TheService, sorting: TheSorting
) -> Response:
    """With all that people decided about it. No image is touched."""
    run = sorting.clustering.run(service.collection(collection), run_id)
    sorting.clustering.records.drop_run(run.id)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.get("/runs/{run_id}/hierarchy", summary="A run from afar", dependencies=[MAY_READ])
def get_hierarchy(
    collection: CollectionPath,
    run_id: RunId,
    service: TheService,
    sorting: TheSorting,
    groups: Annotated[
        list[Annotated[int, Query(ge=1, le=10_000)]],
        Query(min_length=1, max_length=8, description="Into how many groups, for each level."),
    ],
) -> Hierarchy:
    """Clusters that are alike brought together, to zoom out."""
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    found = sorting.clustering.levels(sorting.clustering.records.clusters(run.id), groups)
    biggest = {
        max(inside, key=lambda each: (each.size, -each.number)).cover_id
        for level in found
        for inside in level
    }
    rows = service.catalog.images(known.id, sorted(biggest))
    return Hierarchy(
        levels=[
            Level(
                groups=[
                    group_of_clusters(number, inside, rows) for number, inside in enumerate(level)
                ]
            )
            for level in found
        ]
    )


@router.get("/runs/{run_id}/clusters/{number}", summary="One cluster", dependencies=[MAY_READ])
def get_cluster(
    collection: CollectionPath,
    run_id: RunId,
    number: Number,
    service: TheService,
    sorting: TheSorting,
    typical: Annotated[int, Query(ge=0, le=100)] = 12,
    marginal: Annotated[int, Query(ge=0, le=100)] = 12,
) -> Cluster:
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    cluster = sorting.clustering.cluster(run, number)
    return _documents(sorting, service, known, run, [cluster], typical, marginal)[0]


@router.patch(
    "/runs/{run_id}/clusters/{number}", summary="Name a cluster", dependencies=[MAY_WRITE]
)
def rename_cluster(
    collection: CollectionPath,
    run_id: RunId,
    number: Number,
    asked: ClusterName,
    service: TheService,
    sorting: TheSorting,
) -> Cluster:
    """It keeps the name when the run is made anew."""
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    sorting.clustering.cluster(run, number)
    sorting.clustering.rename(known, run, number, asked.name)
    cluster = sorting.clustering.cluster(run, number)
    return _documents(sorting, service, known, run, [cluster], 4, 0)[0]


@router.get(
    "/runs/{run_id}/clusters/{number}/members",
    summary="Images of a cluster",
    dependencies=[MAY_READ],
)
def list_members(
    collection: CollectionPath,
    run_id: RunId,
    number: AnyNumber,
    service: TheService,
    sorting: TheSorting,
    order: Annotated[Literal["typical", "marginal"], Query(description="Which come first.")] = (
        "typical"
    ),
    after: PageAfter = 0,
    limit: PageLimit = 100,
) -> ClusterMemberPage:
    """A page of its images; number -1: those in no cluster."""
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    if number >= 0:
        sorting.clustering.cluster(run, number)
    found = member_page(
        service.catalog,
        run.id,
        number,
        offset=after,
        limit=limit + 1,
        least=order == "marginal",
    )
    rows = service.catalog.images(known.id, [image_id for image_id, _ in found[:limit]])
    return ClusterMemberPage(
        members=[
            member_document(rows[image_id], typicality)
            for image_id, typicality in found[:limit]
            if image_id in rows
        ],
        next_after=after + limit if len(found) > limit else None,
    )


@router.post(
    "/runs/{run_id}/merge",
    summary="Merge clusters",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def merge_clusters(
    collection: CollectionPath,
    run_id: RunId,
    asked: MergeAsked,
    service: TheService,
    sorting: TheSorting,
) -> Response:
    """A job that makes them one, for good. Clusters are numbered anew by it."""
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    numbers = list(dict.fromkeys(asked.clusters))
    if len(numbers) < 2:
        raise QueryError("name at least two clusters to merge")
    for number in numbers:
        sorting.clustering.cluster(run, number)
    return accepted(sorting.merge(known, run, numbers))


@router.post(
    "/runs/{run_id}/split",
    summary="Split a cluster",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def split_cluster(
    collection: CollectionPath,
    run_id: RunId,
    asked: SplitAsked,
    service: TheService,
    sorting: TheSorting,
) -> Response:
    """A job that takes apart what is most unlike within it, for good."""
    known = service.collection(collection)
    run = sorting.clustering.run(known, run_id)
    sorting.clustering.cluster(run, asked.cluster)
    return accepted(sorting.split(known, run, asked.cluster, asked.parts))


@router.post(
    "/runs/{run_id}/extend",
    summary="Put new images into clusters",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def extend_run(
    collection: CollectionPath, run_id: RunId, service: TheService, sorting: TheSorting
) -> Response:
    """A job that puts images that came since into the run's clusters; nothing else moves."""
    known = service.collection(collection)
    return accepted(sorting.extend(known, sorting.clustering.run(known, run_id)))


def _documents(
    sorting: Sorting,
    service: TheService,
    known: Collection,
    run: StoredRun,
    clusters: list[StoredCluster],
    typical: int,
    marginal: int,
) -> list[Cluster]:
    records = sorting.clustering.records
    shown = {
        each.number: (
            records.typical(run.id, each.number, typical) if typical else [],
            records.typical(run.id, each.number, marginal, least=True) if marginal else [],
        )
        for each in clusters
    }
    wanted = {each.cover_id for each in clusters}
    wanted |= {image_id for lists in shown.values() for ids in lists for image_id in ids}
    rows = service.catalog.images(known.id, sorted(wanted))
    ready = {i: row for i, row in rows.items() if row.state is ImageState.READY}
    return [cluster_document(each, ready, *shown[each.number]) for each in clusters]
