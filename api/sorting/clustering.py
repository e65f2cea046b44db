"""Cluster runs, what stands out, and the map, for the routes."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from api.encoders import WarmEncoders
from api.errors import NotFoundHere
from api.sorting.finding import Finding
from api.sorting.jobs import JobProgress
from likeness.catalog.records import Collection, Space, SpaceState
from likeness.catalog.sorting.clusters import ClusterRecords, StoredCluster, StoredRun
from likeness.errors import QueryError
from likeness.runtime import Runtime
from likeness.types import ImageState, Tower
from search.clusters.describe import hierarchy
from search.clusters.emptiness import near_empty
from search.clusters.service import Clusterer, ClusterRequest

log = logging.getLogger(__name__)

SURVEY_FILE = "survey.json"
_SURVEY_SCHEMA = "likeness.survey/1"
_OUTLIERS = 2000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands out in a collection. outliers: (image id, strangeness), the strangest first.

    empty: (image id, kind, measure). revision: of the collection when it was made.
    """

    made_at: datetime
    revision: int
    outliers: tuple[tuple[int, float], ...]
    empty: tuple[tuple[int, str, float], ...]


class Clustering:
    """Clusters the collections of a service. Thread-safe.

    folder_of: where derived files about a whole collection lie, by its id.
    """

    def __init__(
        self,
        runtime: Runtime,
        encoders: WarmEncoders,
        finding: Finding,
        folder_of: Callable[[int], Path],
    ) -> None:
        self._runtime, self._catalog, self._encoders = runtime, runtime.catalog, encoders
        self._finding, self._folder_of = finding, folder_of
        self.records = ClusterRecords(runtime.catalog)

    def runs(self, collection: Collection) -> list[StoredRun]:
        """The latest first."""
        return self.records.runs(collection.id)

    def run(self, collection: Collection, run_id: int) -> StoredRun:
        """Raises NotFoundHere."""
        for run in self.runs(collection):
            if run.id == run_id:
                return run
        raise NotFoundHere(
            f"collection {collection.name!r} has no cluster run {run_id}; "
            f"GET /v1/collections/{collection.name}/clusters/runs lists them"
        )

    def cluster(self, run: StoredRun, number: int) -> StoredCluster:
        """Raises NotFoundHere."""
        for each in self.records.clusters(run.id):
            if each.number == number:
                return each
        raise NotFoundHere(f"run {run.name!r} has no cluster {number}")

    def levels(
        self, clusters: Sequence[StoredCluster], levels: Sequence[int]
    ) -> list[list[list[StoredCluster]]]:
        """For each number of groups, the clusters in them, the largest group first."""
        if not clusters:
            return [[] for _ in levels]
        centroids = np.stack([each.centroid.astype(np.float32) for each in clusters])
        sizes = np.array([each.size for each in clusters], dtype=np.int64)
        found = hierarchy(centroids, sizes, levels)
        result = []
        for level in levels:
            groups: list[list[StoredCluster]] = [[] for _ in range(int(found[level].max()) + 1)]
            for each, group in zip(clusters, found[level].tolist(), strict=True):
                groups[group].append(each)
            result.append(groups)
        return result

    # ---------------------------------------------------------------- work of jobs

    def make(
        self,
        collection: Collection,
        request: ClusterRequest,
        encoder: str | None,
        progress: JobProgress,
    ) -> None:
        """The run is made, or made anew with what people decided about it."""
        run = self.clusterer(collection, progress.note, encoder=encoder).run(request)
        self._tell(run, progress)

    def extend(self, collection: Collection, run: StoredRun, progress: JobProgress) -> None:
        """New images are in the run."""
        progress.note("putting new images into clusters")
        clusterer = self.clusterer(collection, progress.note, space_id=run.space_id)
        progress.counts["joined"] = clusterer.extend(run)
        self._tell(run, progress)

    def merge(
        self, collection: Collection, run: StoredRun, numbers: Sequence[int], progress: JobProgress
    ) -> None:
        progress.note("merging clusters")
        self.clusterer(collection, progress.note, space_id=run.space_id).merge(run, numbers)
        self._tell(run, progress)

    def split(
        self, collection: Collection, run: StoredRun, number: int, parts: int, progress: JobProgress
    ) -> None:
        progress.note("splitting a cluster")
        self.clusterer(collection, progress.note, space_id=run.space_id).split(run, number, parts)
        self._tell(run, progress)

    def rename(self, collection: Collection, run: StoredRun, number: int, name: str) -> None:
        """Quick: no vector is read."""
        clusterer = self.clusterer(collection, lambda _text: None, space_id=run.space_id)
        clusterer.rename(run, number, name)

    def survey(self, collection: Collection, encoder: str | None, progress: JobProgress) -> None:
        """Outliers and pictures with next to nothing in them are known."""
        progress.note("looking for images unlike everything")
        revision = self._catalog.collection(collection.name).revision
        outliers = self.clusterer(collection, progress.note, encoder=encoder).outliers(_OUTLIERS)
        progress.note("looking for pictures with next to nothing in them")
        empty: list[tuple[int, str, float]] = []
        total, done, after = len(self._catalog.filter_ids(collection.id, None)), 0, 0
        with self._finding.loader() as loader:
            while page := self._catalog.list_images(
                collection.id, where=None, state=ImageState.READY, after_id=after, limit=_PAGE
            ):
                for each in near_empty(loader, [(row.id, row.uri) for row in page]):
                    empty.append((each.image_id, each.kind.value, each.measure))
                    progress.check()
                after, done = page[-1].id, done + len(page)
                progress.reach("looked_at", done, total)
        made = Survey(datetime.now(UTC), revision, tuple(outliers), tuple(empty))
        _save(made, self._survey_path(collection.id))

    def known_survey(self, collection: Collection) -> Survey | None:
        """The latest; None before one was made."""
        return _load(self._survey_path(collection.id))

    # ---------------------------------------------------------------- inside

    def clusterer(
        self,
        collection: Collection,
        note: Callable[[str], None],
        *,
        encoder: str | None = None,
        space_id: int | None = None,
    ) -> Clusterer:
        """Over the space asked for, or the oldest. Raises QueryError."""
        spaces = self._spaces(collection)
        space = self.space(collection, encoder=encoder, space_id=space_id)
        words = next((each for each in (space, *spaces) if Tower.TEXT in each.towers), None)
        return Clusterer(
            self._catalog,
            space,
            self._runtime.index_dir(space),
            word_space=words,
            encoder_of=self._encoders.of,
            device=self._runtime.index_device,
            note=note,
        )

    def space(
        self, collection: Collection, *, encoder: str | None = None, space_id: int | None = None
    ) -> Space:
        """The space asked for, or the oldest. Raises QueryError."""
        for space in self._spaces(collection):
            if encoder in (None, space.encoder) and space_id in (None, space.id):
                return space
        wanted = f"no space of {encoder}" if encoder else "no images to sort yet"
        raise QueryError(f"collection {collection.name!r} has {wanted}")

    def _spaces(self, collection: Collection) -> list[Space]:
        return [
            space
            for space in self._catalog.spaces(collection.id)
            if space.state is SpaceState.ACTIVE
        ]

    def _survey_path(self, collection_id: int) -> Path:
        return self._folder_of(collection_id) / SURVEY_FILE

    def _tell(self, run: StoredRun, progress: JobProgress) -> None:
        sizes = self.records.sizes(run.id)
        progress.counts["in_none"] = sizes.pop(-1, 0)
        progress.counts["clusters"] = len(sizes)
        progress.outcome = f"run {run.name}"


def _save(survey: Survey, path: Path) -> None:
    document = {
        "schema": _SURVEY_SCHEMA,
        "made_at": survey.made_at.isoformat(),
        "revision": survey.revision,
        "outliers": survey.outliers,
        "empty": survey.empty,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    Path(name).replace(path)


def _load(path: Path) -> Survey | None:
    """None where there is none; a damaged one is logged and counts as none."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SURVEY_SCHEMA:
            raise ValueError(f"it is of schema {document['schema']}")
        return Survey(
            datetime.fromisoformat(document["made_at"]),
            int(document["revision"]),
            tuple((int(i), float(value)) for i, value in document["outliers"]),
            tuple((int(i), str(kind), float(value)) for i, kind, value in document["empty"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: %s; survey the collection again", path, error)
        return None
