"""What `likeness cluster` prints."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from likeness.catalog.sorting.clusters import ClusterRecords, StoredCluster, StoredRun
from likeness.cli.output import emit_json, print_table
from likeness.runtime import Runtime
from likeness.types import ImageState
from search.clusters.describe import hierarchy
from search.clusters.emptiness import NearEmpty

_SHOWN_MEMBERS = 5


def show_runs(runs: list[StoredRun], *, as_json: bool) -> None:
    """The saved runs."""
    if as_json:
        for run in runs:
            emit_json({"schema": "likeness.cluster_run/1", **run_document(run)})
        return
    print_table(
        ("run", "method", "size", "made", "revision"),
        [
            (run.name, run.parameters["method"], run.parameters["size"], run.made_at, run.revision)
            for run in runs
        ],
    )


def run_document(run: StoredRun) -> dict[str, Any]:
    """A run as JSON answers show it."""
    return {
        "run": run.name,
        "parameters": dict(run.parameters),
        "revision": run.revision,
        "made_at": run.made_at,
    }


def cluster_document(cluster: StoredCluster) -> dict[str, Any]:
    """A cluster as JSON answers show it."""
    facts = {key: value for key, value in cluster.facts.items() if key != "edge"}
    return {
        "number": cluster.number,
        "name": cluster.name,
        "named_by_user": cluster.named_by_user,
        "size": cluster.size,
        "cover": cluster.cover_id,
        "coherence": round(cluster.coherence, 4),
        "facts": facts,
    }


def show_clusters(
    runtime: Runtime, records: ClusterRecords, run: StoredRun, *, as_json: bool
) -> None:
    """A run's clusters, the largest first."""
    clusters = records.clusters(run.id)
    alone = records.sizes(run.id).get(-1, 0)
    if as_json:
        documents = [
            {
                **cluster_document(each),
                "typical": records.typical(run.id, each.number, _SHOWN_MEMBERS),
                "marginal": records.typical(run.id, each.number, _SHOWN_MEMBERS, least=True),
            }
            for each in clusters
        ]
        emit_json(
            {
                "schema": "likeness.clusters/1",
                **run_document(run),
                "clusters": documents,
                "in_none": alone,
            }
        )
        return
    covers = runtime.catalog.images(run.collection_id, [each.cover_id for each in clusters])
    print_table(
        ("n", "name", "images", "coherence", "time", "cover"),
        [
            (
                each.number,
                each.name + (" *" if each.named_by_user else ""),
                each.size,
                f"{each.coherence:.2f}",
                _span(each),
                covers[each.cover_id].path if each.cover_id in covers else "",
            )
            for each in clusters
        ],
    )
    click.echo(f"run {run.name}: {len(clusters):,} clusters, {alone:,} images in none")


def _span(cluster: StoredCluster) -> str:
    if "from" not in cluster.facts:
        return ""
    first, last = cluster.facts["from"][:10], cluster.facts["to"][:10]
    return str(first) if first == last else f"{first} … {last}"


def show_members(
    runtime: Runtime, records: ClusterRecords, run: StoredRun, number: int, *, as_json: bool
) -> None:
    """A cluster's images, from typical to marginal."""
    found = records.members(run.id, number)
    ready = runtime.catalog.images(run.collection_id, found.image_ids.tolist())
    typicality = dict(zip(found.image_ids.tolist(), found.typicality.tolist(), strict=True))
    rows = sorted(
        (row for row in ready.values() if row.state is ImageState.READY),
        key=lambda row: (-typicality[row.id], row.id),
    )
    if as_json:
        for row in rows:
            emit_json(
                {
                    "schema": "likeness.cluster_member/1",
                    "id": row.id,
                    "path": row.path,
                    "typicality": round(typicality[row.id], 4),
                }
            )
        return
    print_table(
        ("id", "typicality", "path"),
        [(row.id, f"{typicality[row.id]:.3f}", row.path) for row in rows],
    )


def show_outliers(
    runtime: Runtime, collection_id: int, found: list[tuple[int, float]], *, as_json: bool
) -> None:
    """Images unlike everything."""
    rows = runtime.catalog.images(collection_id, [image_id for image_id, _ in found])
    if as_json:
        for image_id, strangeness in found:
            emit_json(
                {
                    "schema": "likeness.outlier/1",
                    "id": image_id,
                    "path": rows[image_id].path,
                    "strangeness": round(strangeness, 4),
                }
            )
        return
    print_table(
        ("id", "strangeness", "path"),
        [(image_id, f"{value:.2f}", rows[image_id].path) for image_id, value in found],
    )


def show_zoom(clusters: list[StoredCluster], groups: int, *, as_json: bool) -> None:
    """The clusters themselves in so many groups."""
    centroids = np.stack([each.centroid.astype(np.float32) for each in clusters])
    sizes = np.array([each.size for each in clusters], dtype=np.int64)
    of = hierarchy(centroids, sizes, [groups])[groups]
    for number in range(int(of.max(initial=-1)) + 1):
        inside = [each for each, group in zip(clusters, of, strict=True) if group == number]
        if as_json:
            emit_json(
                {
                    "schema": "likeness.cluster_group/1",
                    "group": number,
                    "clusters": [each.number for each in inside],
                    "images": sum(each.size for each in inside),
                }
            )
        else:
            names = "; ".join(each.name for each in inside)
            click.echo(f"{number}  {sum(each.size for each in inside):,} images: {names}")


def show_empty(
    runtime: Runtime, collection_id: int, found: list[NearEmpty], *, as_json: bool
) -> None:
    """Blank, black and blurred images."""
    rows = runtime.catalog.images(collection_id, [each.image_id for each in found])
    if as_json:
        for each in found:
            emit_json(
                {
                    "schema": "likeness.near_empty/1",
                    "id": each.image_id,
                    "path": rows[each.image_id].path,
                    "kind": each.kind,
                    "measure": round(each.measure, 5),
                }
            )
        return
    print_table(
        ("id", "kind", "path"),
        [(each.image_id, each.kind.value, rows[each.image_id].path) for each in found],
    )
    click.echo(f"{len(found):,} images with next to nothing in them")
