"""`likeness cluster`: the collection sorted into named groups, saved, repeatable, correctable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import numpy as np

from indexer.limits import source_limits
from indexer.sources import UriReader
from likeness.catalog.records import Space, SpaceState
from likeness.catalog.sorting.clusters import ClusterRecords
from likeness.cli.cluster_views import (
    show_clusters,
    show_empty,
    show_members,
    show_outliers,
    show_runs,
    show_zoom,
)
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import note
from likeness.errors import QueryError
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.types import ImageState, Tower
from search.clusters.emptiness import NearEmpty, near_empty
from search.clusters.map import CollectionMap
from search.clusters.methods import Method, Size
from search.clusters.service import DEFAULT_METHOD, Clusterer, ClusterRequest
from search.duplicates.pictures import PooledLoader

_PAGE = 1000


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
@click.option("--empty", is_flag=True, help="List blank, black and blurred images.")
@click.option(
    "--map",
    "map_path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="OUT.json",
    help="Write a 2-D map: alike images lie near each other.",
)
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
    empty: bool,
    map_path: Path | None,
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
            show_runs(records.runs(collection_id), as_json=as_json)
            return 0
        if empty:
            show_empty(runtime, collection_id, _empty(runtime, collection_id), as_json=as_json)
            return 0
        clusterer = _clusterer(runtime, collection, encoder)
        if map_path is not None:
            _write_map(clusterer.map(), map_path)
            return 0
        if outliers is not None:
            show_outliers(runtime, collection_id, clusterer.outliers(outliers), as_json=as_json)
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
            show_members(runtime, records, run, members, as_json=as_json)
        elif zoom is not None:
            show_zoom(records.clusters(run.id), zoom, as_json=as_json)
        else:
            show_clusters(runtime, records, run, as_json=as_json)
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
        device=runtime.index_device,
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


def _empty(runtime: Runtime, collection_id: int) -> list[NearEmpty]:
    settings = runtime.settings
    limits = source_limits(settings)
    workers = settings.decode_workers or max(1, len(os.sched_getaffinity(0)))
    found: list[NearEmpty] = []
    after = 0
    with (
        UriReader(limits) as reader,
        PooledLoader(reader.read, workers=workers, limits=runtime.limits) as loader,
    ):
        while page := runtime.catalog.list_images(
            collection_id, where=None, state=ImageState.READY, after_id=after, limit=_PAGE
        ):
            found += near_empty(loader, [(row.id, row.uri) for row in page])
            after = page[-1].id
    return found


def _write_map(made: CollectionMap, path: Path) -> None:
    document = {
        "schema": "likeness.map/1",
        "ids": made.image_ids.tolist(),
        "places": np.round(made.places, 5).tolist(),
        "computed_from": made.computed_from,
    }
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
    note(f"map of {len(made.image_ids):,} images: {path}")
