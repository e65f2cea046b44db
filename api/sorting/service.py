"""What the sorting routes stand on: one object per app, beside `api.service.Service`."""

from __future__ import annotations

import hashlib
import threading
from typing import Annotated

from fastapi import Depends, Request

from api.errors import NotMadeYet
from api.service import Service
from api.sorting.clustering import Clustering
from api.sorting.finding import Finding, FindRequest, folder_of
from api.sorting.jobs import JobProgress, SortingJobs
from api.sorting.mapping import MapClusters, packed
from api.sorting.plans import KnownPlan, Plans
from api.sorting.reports import save_report
from api.sorting.review import Review
from likeness.catalog.records import Collection, Space
from likeness.catalog.serving.jobs import Job
from likeness.catalog.sorting.clusters import StoredRun
from likeness.catalog.sorting.points import point_facts
from likeness.catalog.where import parse_where
from likeness.errors import SnapshotDamaged
from search.clusters.map import FILE_NAME as MAP_FILE
from search.clusters.map import load_map
from search.clusters.service import ClusterRequest
from search.duplicates.keep import parse_keep

FIND, APPLY, UNDO = "duplicates", "apply", "undo"
CLUSTER, EXTEND, MERGE, SPLIT = "cluster", "cluster-extend", "cluster-merge", "cluster-split"
SURVEY, MAP = "survey", "map"
KINDS = frozenset({FIND, APPLY, UNDO, CLUSTER, EXTEND, MERGE, SPLIT, SURVEY, MAP})


class Sorting:
    """Copies, clusters and maps of one app's collections; close it. Thread-safe."""

    def __init__(self, service: Service) -> None:
        runtime, settings = service.runtime, service.settings
        self._catalog, self._runtime = service.catalog, runtime
        folder = folder_of(runtime)
        self.jobs = SortingJobs(service.jobs)
        self.jobs.settle_lost(KINDS)
        self.finding = Finding(runtime, service.encoders)
        self.review = Review(service.catalog, folder)
        self.plans = Plans(service.catalog, settings.home / "plans", settings.home / "trash")
        self.clustering = Clustering(runtime, service.encoders, self.finding, folder)
        self._maps: dict[tuple[int, int | None], tuple[object, bytes]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        self.jobs.close()
        self.finding.close()

    # ---------------------------------------------------------------- jobs

    def find(self, collection: Collection, request: FindRequest) -> Job:
        """A job that looks for copies. Raises InputError for an unknown rule, WhereError."""
        parse_keep(request.keep)
        if request.where:
            parse_where(request.where)

        def work(progress: JobProgress) -> None:
            report = self.finding.find(collection, request, progress)
            save_report(report, self.review.path(collection.id))

        return self.jobs.submit(FIND, collection.name, request.document(), work)

    def apply(self, collection: Collection, known: KnownPlan) -> Job:
        """A job that takes a plan's copies away. Raises PlanError."""
        plan = self.plans.check_appliable(known)

        def work(progress: JobProgress) -> None:
            self.plans.apply(collection, plan, progress)
            progress.check()

        return self.jobs.submit(APPLY, collection.name, {"plan": plan.plan_id}, work)

    def undo(self, collection: Collection, known: KnownPlan) -> Job:
        """A job that brings a plan's copies back. Raises PlanError."""
        journal = self.plans.check_undoable(known)

        def work(progress: JobProgress) -> None:
            self.plans.undo(collection, journal, progress)

        return self.jobs.submit(UNDO, collection.name, {"plan": known.plan_id}, work)

    def cluster(self, collection: Collection, request: ClusterRequest, encoder: str | None) -> Job:
        """A job that makes a run. Raises QueryError where there is nothing to cluster."""
        self.clustering.space(collection, encoder=encoder)
        document = {**request.parameters(), "name": request.run_name, "encoder": encoder}
        return self.jobs.submit(
            CLUSTER,
            collection.name,
            document,
            lambda progress: self.clustering.make(collection, request, encoder, progress),
        )

    def extend(self, collection: Collection, run: StoredRun) -> Job:
        return self.jobs.submit(
            EXTEND,
            collection.name,
            {"run": run.id},
            lambda progress: self.clustering.extend(collection, run, progress),
        )

    def merge(self, collection: Collection, run: StoredRun, numbers: list[int]) -> Job:
        return self.jobs.submit(
            MERGE,
            collection.name,
            {"run": run.id, "clusters": numbers},
            lambda progress: self.clustering.merge(collection, run, numbers, progress),
        )

    def split(self, collection: Collection, run: StoredRun, number: int, parts: int) -> Job:
        return self.jobs.submit(
            SPLIT,
            collection.name,
            {"run": run.id, "cluster": number, "parts": parts},
            lambda progress: self.clustering.split(collection, run, number, parts, progress),
        )

    def survey(self, collection: Collection, encoder: str | None) -> Job:
        """A job that lists what stands out. Raises QueryError."""
        self.clustering.space(collection, encoder=encoder)
        return self.jobs.submit(
            SURVEY,
            collection.name,
            {"encoder": encoder},
            lambda progress: self.clustering.survey(collection, encoder, progress),
        )

    def make_map(self, collection: Collection, encoder: str | None) -> Job:
        """A job that computes the map, or extends it to new images. Raises QueryError."""
        self.clustering.space(collection, encoder=encoder)

        def work(progress: JobProgress) -> None:
            progress.note("placing images on the map")
            made = self.clustering.clusterer(collection, progress.note, encoder=encoder).map()
            progress.counts["placed"] = len(made.image_ids)

        return self.jobs.submit(MAP, collection.name, {"encoder": encoder}, work)

    # ---------------------------------------------------------------- the map

    def map_state(
        self, collection: Collection, run_id: int | None, encoder: str | None
    ) -> tuple[Space, StoredRun | None, object]:
        """What the map of a collection depends on. Raises NotMadeYet, NotFoundHere."""
        space = self.clustering.space(collection, encoder=encoder)
        try:
            stat = (self._runtime.index_dir(space) / MAP_FILE).stat()
        except OSError:
            raise NotMadeYet(
                f"collection {collection.name!r} has no map yet; "
                f"POST /v1/collections/{collection.name}/map makes one"
            ) from None
        if run_id is None:
            run = next(iter(self.clustering.runs(collection)), None)
        else:
            run = self.clustering.run(collection, run_id)
        made = None if run is None else (run.id, run.made_at, run.revision)
        return space, run, (space.id, stat.st_mtime_ns, collection.revision, made)

    def map_bytes(
        self, collection: Collection, run_id: int | None, encoder: str | None
    ) -> tuple[bytes, str]:
        """The packed map, and a tag that changes with it. Raises NotMadeYet, NotFoundHere."""
        space, run, state = self.map_state(collection, run_id, encoder)
        known = [] if run is None else self.clustering.records.clusters(run.id)
        told = (state, [(each.number, each.name, each.size) for each in known])
        tag = hashlib.sha256(repr(told).encode()).hexdigest()[:24]
        key = (space.id, run_id)
        with self._lock:
            kept = self._maps.get(key)
        if kept is not None and kept[0] == tag:
            return kept[1], tag
        try:
            made = load_map(self._runtime.index_dir(space) / MAP_FILE)
        except SnapshotDamaged:
            made = None
        if made is None:
            raise NotMadeYet(f"the map of collection {collection.name!r} is damaged; make it anew")
        clusters = None
        if run is not None:
            members = self.clustering.records.members(run.id)
            names = {each.number: each.name for each in known}
            clusters = MapClusters(run.id, run.name, names, members)
        data = packed(made, point_facts(self._catalog, collection.id), clusters)
        with self._lock:
            self._maps[key] = (tag, data)
        return data, tag


async def sorting_of(request: Request) -> Sorting:
    """The sorting of the app that this request came to."""
    sorting: Sorting = request.app.state.sorting
    return sorting


TheSorting = Annotated[Sorting, Depends(sorting_of)]
