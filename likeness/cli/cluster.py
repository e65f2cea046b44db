"""`likeness cluster`: the collection sorted into named groups, saved, repeatable, correctable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from likeness.catalog.records import Space, SpaceState
from likeness.catalog.sorting.clusters import ClusterRecords, StoredCluster, StoredRun
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import emit_json, note, print_table
from likeness.errors import QueryError
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.types import ImageState, Tower
from search.clusters.describe import hierarchy
from search.clusters.methods import Method, Size
from search.clusters.service import DEFAULT_METHOD, Clusterer, ClusterRequest

_SHOWN_MEMBERS = 5


@click.command()
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    default=DEFAULT_METHOD.value,
    show_default=True,
    help="How images are brought together; events: by time and place.",
)
@click.option(
    "--size",
    type=click.Choice([size.value for size in Size]),
    default=Size.MEDIUM.value,
    show_default=True,
    help="How large the clusters are.",
)
@click.option("--clusters", "k", type=click.IntRange(2), help="How many; k-means only.")
@click.option("--name", metavar="RUN", help="Name of the run; default: METHOD-SIZE.")
@click.option(
    "--words",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Further words for names, one a line.",
)
@click.option("--seed", type=int, default=0, help="Of the random choices within the method.")
@click.option("--encoder", metavar="NAME", help="Cluster in this space; default: the first.")
@click.option("--runs", is_flag=True, help="List the saved runs.")
@click.option("--show", is_flag=True, help="Show the saved run (--name, or the latest) as it is.")
@click.option("--extend", is_flag=True, help="Put new images into the saved run; move no other.")
@click.option("--rename", nargs=2, metavar="N NAME", help="Call cluster N so, for good.")
@click.option("--merge", metavar="N,N…", help="Make these clusters one, for good.")
@click.option("--split", type=int, metavar="N", help="Split cluster N in two, for good.")
@click.option("--members", type=int, metavar="N", help="List the images of cluster N.")
@click.option("--outliers", type=click.IntRange(1), metavar="COUNT", help="Images unlike all.")
@click.option("--zoom", type=click.IntRange(1), metavar="GROUPS", help="Group the clusters.")
@collection_option
@json_option
@click.pass_obj
def cluster(
    settings: Settings,
    *,
    method: str,
    size: str,
    k: int | None,
    name: str | None,
    words: Path | None,
    seed: int,
    encoder: str | None,
    runs: bool,
    show: bool,
    extend: bool,
    rename: tuple[str, str] | None,
    merge: str | None,
    split: int | None,
    members: int | None,
    outliers: int | None,
    zoom: int | None,
    collection: str,
    as_json: bool,
) -> int:
    """Sort a collection into clusters: a cover, a name, facts and coherence for each.

    A run is saved under its name and made anew by the same command; names, merges and splits that
    you gave survive. With --extend, new images join and nothing else moves.
    """
    if k is not None and method != Method.KMEANS.value:
        raise click.UsageError("--clusters goes with --method kmeans")
    with Runtime(settings) as runtime:
        catalog = runtime.catalog
        collection_id = catalog.collection(collection).id
        records = ClusterRecords(catalog)
        if runs:
            _show_runs(records.runs(collection_id), as_json=as_json)
            return 0
        clusterer = _clusterer(runtime, collection, encoder)
        if outliers is not None:
            _show_outliers(runtime, collection_id, clusterer.outliers(outliers), as_json=as_json)
            return 0
        corrected = rename or merge or split is not None
        if show or extend or corrected or members is not None or zoom is not None:
            run = records.run(collection_id, name)
            clusterer = _clusterer(runtime, collection, None, run.space_id)
            if extend:
                note(f"{clusterer.extend(run):,} new images in run {run.name!r}")
            if rename:
                clusterer.rename(run, _number(rename[0]), rename[1])
            if merge:
                clusterer.merge(run, [_number(part) for part in merge.split(",")])
            if split is not None:
                clusterer.split(run, split)
        else:
            further = words.read_text(encoding="utf-8").split("\n") if words else []
            run = clusterer.run(
                ClusterRequest(
                    method=Method(method),
                    size=Size(size),
                    name=name,
                    k=k,
                    words=[word.strip() for word in further if word.strip()],
                    random_seed=seed,
                )
            )
        if members is not None:
            _show_members(runtime, records, run, members, as_json=as_json)
        elif zoom is not None:
            _show_zoom(records.clusters(run.id), zoom, as_json=as_json)
        else:
            _show(runtime, records, run, as_json=as_json)
    return 0


def _clusterer(
    runtime: Runtime, collection: str, encoder: str | None, space_id: int | None = None
) -> Clusterer:
    catalog = runtime.catalog
    spaces = [
        space
        for space in catalog.spaces(catalog.collection(collection).id)
        if space.state is SpaceState.ACTIVE
    ]
    fitting = [
        space
        for space in spaces
        if (encoder is None or space.encoder == encoder)
        and (space_id is None or space.id == space_id)
    ]
    if not fitting:
        raise QueryError(
            f"collection {collection!r} has no such space; `likeness status` shows what it has"
        )
    space = fitting[0]
    return Clusterer(
        catalog,
        space,
        runtime.index_dir(space),
        word_space=_word_space(spaces, space),
        encoder_of=runtime.encoder_of,
        note=note,
    )


def _word_space(spaces: list[Space], space: Space) -> Space | None:
    """Where words are understood: the space itself if it can, else any of the collection."""
    for each in (space, *spaces):
        if Tower.TEXT in each.towers:
            return each
    return None


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise QueryError(
            f"{text!r} is not the number of a cluster; `likeness cluster --show` lists them"
        ) from None


def _show_runs(runs: list[StoredRun], *, as_json: bool) -> None:
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


def _show(runtime: Runtime, records: ClusterRecords, run: StoredRun, *, as_json: bool) -> None:
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


def _show_members(
    runtime: Runtime, records: ClusterRecords, run: StoredRun, number: int, *, as_json: bool
) -> None:
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


def _show_outliers(
    runtime: Runtime, collection_id: int, found: list[tuple[int, float]], *, as_json: bool
) -> None:
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


def _show_zoom(clusters: list[StoredCluster], groups: int, *, as_json: bool) -> None:
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
