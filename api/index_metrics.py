"""What Prometheus reads about the indexes: kind, size, what is newer than they are, recall."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from likeness.catalog import Catalog
from likeness.catalog.records import Space, SpaceState
from likeness.catalog.serving.spaces import named_spaces
from likeness.errors import LikenessError

log = logging.getLogger(__name__)

_SPACE = ("collection", "encoder")


class IndexMetrics(Collector):
    """Asked at each scrape. The figures are those that `likeness status` shows."""

    def __init__(self, catalog: Catalog, tail_rows: Callable[[Space], int]) -> None:
        """tail_rows: how many images this process scans beside a space's index."""
        self._catalog, self._tail_rows = catalog, tail_rows

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the catalog when this is registered."""
        yield from self._families()

    def collect(self) -> Iterator[Metric]:
        families = self._families()
        images, built, tail, recall = families
        try:
            for collection, space in named_spaces(self._catalog):
                if space.state is not SpaceState.RETIRED:
                    self._add(collection, space, images, built, tail, recall)
        except LikenessError:
            log.exception("the catalog could not be asked about its indexes")
        yield from families

    def _add(
        self,
        collection: str,
        space: Space,
        images: GaugeMetricFamily,
        built: GaugeMetricFamily,
        tail: GaugeMetricFamily,
        recall: GaugeMetricFamily,
    ) -> None:
        snapshot = self._catalog.head(space.collection_id, space.id).snapshot
        labels = (collection, space.encoder)
        tail.add_metric(labels, self._tail_rows(space))
        if snapshot is None:
            return
        manifest = snapshot.manifest
        images.add_metric((*labels, str(manifest["kind"])), manifest["count"])
        built.add_metric(labels, snapshot.created_at.timestamp())
        measured = manifest.get("recall") or {}
        if measured.get("exact"):
            recall.add_metric((*labels, "any", "any", "any"), 1.0)
        for queries, by_filter in measured.get("found", {}).items():
            for name, by_depth in by_filter.items():
                for depth, figure in by_depth.items():
                    recall.add_metric((*labels, queries, name, depth.lstrip("@")), figure)

    def _families(self) -> tuple[GaugeMetricFamily, ...]:
        return (
            GaugeMetricFamily(
                "likeness_index_images",
                "Images in the current index, by its kind.",
                labels=(*_SPACE, "kind"),
            ),
            GaugeMetricFamily(
                "likeness_index_built_timestamp_seconds",
                "When the current index was published.",
                labels=_SPACE,
            ),
            GaugeMetricFamily(
                "likeness_index_tail_images",
                "Images newer than the index that this process has open, scanned beside it.",
                labels=_SPACE,
            ),
            GaugeMetricFamily(
                "likeness_index_recall",
                "Share of the true nearest that the index finds, measured when it was published.",
                labels=(*_SPACE, "queries", "filter", "depth"),
            ),
        )
