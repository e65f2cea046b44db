"""`likeness reindex`: indexes anew from the catalog, failures again, a further encoder."""

from __future__ import annotations

import threading

import click

from indexer.progress import Progress
from indexer.service import Indexer
from likeness.cli.index import report_outcome
from likeness.cli.options import collection_option, json_option
from likeness.cli.progress import shown, stopped_by_ctrl_c
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.vectors.choice import AUTO
from likeness.vectors.kinds import KINDS


@click.command()
@click.option("--encoder", metavar="NAME", help="Embed every image with this encoder as well.")
@click.option("--failed", is_flag=True, help="Read the failed images again.")
@click.option(
    "--index",
    "kind",
    type=click.Choice([AUTO, *KINDS]),
    help="Kind of index to build; default: as set, which is to measure and choose.",
)
@collection_option
@json_option
@click.pass_obj
def reindex(
    settings: Settings,
    *,
    encoder: str | None,
    failed: bool,
    kind: str | None,
    collection: str,
    as_json: bool,
) -> int:
    """Rebuild the indexes from the catalog; nothing is embedded again.

    With --encoder, add a space: every stored image is embedded with that encoder too. With
    --failed, read the images that failed again. Both can be stopped and go on later.
    """
    if encoder and failed:
        raise click.UsageError("--encoder and --failed exclude each other")
    if kind and (encoder or failed):
        raise click.UsageError("--index says how all indexes are built; run it by itself")
    progress, stop = Progress(), threading.Event()
    with Runtime(settings) as runtime, stopped_by_ctrl_c(stop), shown(progress):
        indexer = Indexer(runtime)
        if encoder:
            report = indexer.add_encoder(collection, encoder, progress, stop)
        elif failed:
            report = indexer.retry_failed(collection, progress, stop)
        else:
            report = indexer.rebuild(collection, progress, kind=kind)
    return report_outcome(report, as_json=as_json)
