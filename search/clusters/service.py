"""Clustering as users ask for it: made, saved, named, repeated, extended, corrected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Space
from likeness.catalog.sorting.clusters import (
    ClusterRecords,
    Members,
    StoredCluster,
    StoredRun,
)
from likeness.encoders.interface import Encoder
from likeness.errors import QueryError
from likeness.types import Embeddings, ImageIds
from likeness.vectors.kmeans import kmeans_centroids, nearest_centroids
from search.clusters.choices import ANCHORS, merge_choice, rename_choice, split_choice
from search.clusters.describe import joined, outliers
from search.clusters.describer import Describer
from search.clusters.events import Moment, by_events
from search.clusters.map import CollectionMap, current_map
from search.clusters.methods import (
    Labels,
    Method,
    Size,
    by_hdbscan,
    by_kmeans,
    by_leiden,
)
from search.graph.graph import NeighbourGraph
from search.graph.keeper import SpaceVectors, current_graph, space_vectors

DEFAULT_METHOD = Method.LEIDEN


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """name: of the run; None: `METHOD-SIZE`. k: of k-means, None: by size. words: further names."""

    method: Method = DEFAULT_METHOD
    size: Size = Size.MEDIUM
    name: str | None = None
    k: int | None = None
    words: Sequence[str] = ()
    random_seed: int = 0

    @property
    def run_name(self) -> str:
        return self.name or f"{self.method.value}-{self.size.value}"

    def parameters(self) -> dict[str, Any]:
        return {
            "method": self.method.value,
            "size": self.size.value,
            "k": self.k,
            "words": list(self.words),
            "random_seed": self.random_seed,
        }

    @classmethod
    def of(cls, run: StoredRun) -> ClusterRequest:
        """The request that repeats a run."""
        stored = run.parameters
        return cls(
            method=Method(stored["method"]),
            size=Size(stored["size"]),
            name=run.name,
            k=stored["k"],
            words=tuple(stored["words"]),
            random_seed=stored["random_seed"],
        )


class Clusterer:
    """Clusters one space. word_space: where words are understood; None: names come from folders.

    encoder_of: the encoder of a space, asked for only to embed the words. device: where neighbours
    are computed.
    """

    def __init__(
        self,
        catalog: Catalog,
        space: Space,
        directory: Path,
        *,
        word_space: Space | None = None,
        encoder_of: Callable[[Space], Encoder] | None = None,
        device: str = "cpu",
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._catalog, self._space, self._directory = catalog, space, directory
        self._device, self._note = device, note
        self._records = ClusterRecords(catalog)
        self._describer = Describer(catalog, space, word_space, encoder_of)

    # ------------------------------------------------------------ runs

    def run(self, request: ClusterRequest) -> StoredRun:
        """The collection is clustered and the run saved; a run of that name is made anew, with
        the names, merges and splits that people gave it."""
        collection_id = self._space.collection_id
        known = [r for r in self._records.runs(collection_id) if r.name == request.run_name]
        choices = self._records.choices(known[0].id) if known else []
        with space_vectors(self._catalog, self._space) as held:
            if not len(held.image_ids):
                raise QueryError("the collection has no images to cluster yet")
            self._note(f"clustering {len(held.image_ids):,} images by {request.method.value}")
            labels = self._labels(request, held)
            clusters, members = self._describer.described(held, labels, choices, request.words)
            self._records.save_run(
                collection_id,
                self._space.id,
                request.run_name,
                parameters=request.parameters(),
                revision=held.revision,
                clusters=clusters,
                members=members,
            )
        return self._records.run(collection_id, request.run_name)

    def extend(self, run: StoredRun) -> int:
        """New images are in the run's clusters, or in none; nothing else moves. Their number."""
        members = self._records.members(run.id)
        clusters = self._records.clusters(run.id)
        with space_vectors(self._catalog, self._space) as held:
            new = np.flatnonzero(~np.isin(held.image_ids, members.image_ids))
            if not len(new):
                return 0
            ids = held.image_ids[new]
            if run.parameters["method"] == Method.EVENTS:
                labels = self._joined_events(ids, clusters)
                typicality = np.zeros(len(ids), dtype=np.float32)
            else:
                centroids = _matrix(clusters, self._space.dim)
                edges = np.array([c.facts["edge"] for c in clusters], dtype=np.float32)
                labels, typicality = joined(np.asarray(held.vectors[new]), centroids, edges)
                numbers = np.array([c.number for c in clusters], dtype=np.int32)
                labels = np.where(labels >= 0, numbers[labels], -1).astype(np.int32)
            self._records.add_members(run.id, Members(ids, labels, typicality), held.revision)
        return len(new)

    # ------------------------------------------------------------ corrections

    def rename(self, run: StoredRun, number: int, name: str) -> None:
        """The cluster is called so, in this and in every later run of that name."""
        if not name.strip():
            raise QueryError("a cluster's name cannot be empty")
        anchors = self._anchors(run, number)
        self._records.add_choice(run.id, rename_choice(anchors, name.strip()))
        self._records.rename(run.id, number, name.strip())

    def merge(self, run: StoredRun, numbers: Sequence[int]) -> None:
        """The clusters are one; it takes the first one's place."""
        if len(set(numbers)) < 2:
            raise QueryError("name at least two clusters to merge")
        self._choose(run, merge_choice([self._anchors(run, number) for number in numbers]))

    def split(self, run: StoredRun, number: int, parts: int = 2) -> None:
        """The cluster is `parts` clusters: what is most unlike within it comes apart."""
        members = self._records.members(run.id, number)
        if len(members.image_ids) < parts or parts < 2:
            raise QueryError(
                f"cluster {number} has {len(members.image_ids)} images; "
                f"it cannot be split in {parts}"
            )
        ids, vectors = self._catalog.vectors(self._space.id, members.image_ids.tolist())
        centroids = kmeans_centroids(vectors, parts, restarts=3)
        labels, closeness = nearest_centroids(vectors, centroids)
        anchors = []
        for part in range(parts):
            rows = np.flatnonzero(labels == part)
            best = rows[np.argsort(-closeness[rows], kind="stable")][:ANCHORS]
            anchors.append([int(image_id) for image_id in ids[best]])
        anchors.sort(key=len, reverse=True)
        self._choose(run, split_choice(anchors))

    def _choose(self, run: StoredRun, choice: Mapping[str, Any]) -> None:
        """The choice is kept, and the run's clusters are as it wants them."""
        self._records.add_choice(run.id, choice)
        members = self._records.members(run.id)
        clusters = self._records.clusters(run.id)
        with space_vectors(self._catalog, self._space) as held:
            rows = np.searchsorted(members.image_ids, held.image_ids)
            rows = rows.clip(max=max(0, len(members.image_ids) - 1))
            known = members.image_ids[rows] == held.image_ids
            labels = np.where(known, members.numbers[rows], -1).astype(np.int32)
            named = [
                rename_choice(self._anchors(run, c.number), c.name)
                for c in clusters
                if c.named_by_user
            ]
            automatic = {c.cover_id: c.name for c in clusters if not c.named_by_user}
            described, updated = self._describer.described(
                held, labels, [*named, choice], run.parameters["words"], keep=automatic
            )
            self._records.replace(run.id, described, updated)

    def _anchors(self, run: StoredRun, number: int) -> list[int]:
        anchors = self._records.typical(run.id, number, ANCHORS)
        if not anchors:
            known = ", ".join(str(c.number) for c in self._records.clusters(run.id)[:20])
            raise QueryError(f"run {run.name!r} has no cluster {number} (it has {known} …)")
        return anchors

    # ------------------------------------------------------------ what stands out

    def outliers(self, limit: int) -> list[tuple[int, float]]:
        """Images unlike everything, as (image id, how much), the strangest first."""
        with space_vectors(self._catalog, self._space) as held:
            graph = self._graph(held)
            return outliers(graph, limit)

    def map(self) -> CollectionMap:
        """The 2-D map of the space: stored, extended to new images, or computed now."""
        with space_vectors(self._catalog, self._space) as held:
            graph = self._graph(held)
            return current_map(held, graph, self._directory)

    # ------------------------------------------------------------ steps

    def _graph(self, held: SpaceVectors) -> NeighbourGraph:
        return current_graph(self._space, held, self._directory, device=self._device)

    def _labels(self, request: ClusterRequest, held: SpaceVectors) -> Labels:
        if request.method is Method.KMEANS:
            return by_kmeans(
                held.vectors, request.size, k=request.k, random_seed=request.random_seed
            )
        if request.method is Method.HDBSCAN:
            return by_hdbscan(held.vectors, request.size, random_seed=request.random_seed)
        if request.method is Method.LEIDEN:
            graph = self._graph(held)
            return by_leiden(graph, request.size, random_seed=request.random_seed)
        return by_events(self._moments(held.image_ids), request.size)

    def _moments(self, image_ids: ImageIds) -> list[Moment]:
        moments: list[Moment] = []
        ids = [int(i) for i in image_ids]
        for start in range(0, len(ids), 5000):
            page = ids[start : start + 5000]
            rows = self._catalog.images(self._space.collection_id, page)
            for image_id in page:
                row = rows.get(image_id)
                facts = row.facts if row else None
                moments.append(
                    Moment(facts.taken_at, facts.latitude, facts.longitude)
                    if facts
                    else Moment(None)
                )
        return moments

    def _joined_events(self, image_ids: ImageIds, clusters: Sequence[StoredCluster]) -> Labels:
        """The event during which each image was taken; none otherwise."""
        labels = np.full(len(image_ids), -1, dtype=np.int32)
        for row, moment in enumerate(self._moments(image_ids)):
            if moment.taken_at is None:
                continue
            at = moment.taken_at.isoformat()
            for cluster in clusters:
                facts = cluster.facts
                if "from" in facts and facts["from"] <= at <= facts["to"]:
                    labels[row] = cluster.number
                    break
        return labels


def _matrix(clusters: Sequence[StoredCluster], dim: int) -> Embeddings:
    if not clusters:
        return np.empty((0, dim), dtype=np.float32)
    return np.stack([cluster.centroid.astype(np.float32) for cluster in clusters])
