"""`likeness migrate`: another encoder for a collection, while the present one answers."""

from __future__ import annotations

import threading

import click

from indexer import migration
from indexer.progress import Progress
from indexer.service import Indexer
from likeness.cli.index import report_outcome
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import emit_json
from likeness.cli.progress import shown, stopped_by_ctrl_c
from likeness.runtime import Runtime
from likeness.settings import Settings


@click.command()
@click.option("--to", "encoder", metavar="ENCODER", help="Embed with this encoder, then switch.")
@click.option("--no-switch", is_flag=True, help="With --to: fill and compare, but do not switch.")
@click.option("--back", metavar="ENCODER", help="Switch back to a retired encoder at once.")
@click.option("--forget-retired", is_flag=True, help="Delete what was kept for going back.")
@collection_option
@json_option
@click.pass_obj
def migrate(
    settings: Settings,
    *,
    encoder: str | None,
    no_switch: bool,
    back: str | None,
    forget_retired: bool,
    collection: str,
    as_json: bool,
) -> int:
    """Change a collection's encoder without a moment without answers.

    --to embeds every image beside the space that serves; it can be stopped and goes on later.
    Then the nearest images of both are compared, and one transaction switches. The old space is
    kept, for --back, until --forget-retired.
    """
    if sum([encoder is not None, back is not None, forget_retired]) != 1:
        raise click.UsageError("say one of --to ENCODER, --back ENCODER and --forget-retired")
    if no_switch and not encoder:
        raise click.UsageError("--no-switch goes with --to")
    progress, stop = Progress(), threading.Event()
    with Runtime(settings) as runtime:
        if back:
            migration.roll_back(runtime.catalog, collection, back)
            _say({"active": back}, f"{back} answers again", as_json=as_json)
            return 0
        if forget_retired:
            gone = migration.forget_retired(
                runtime.catalog, collection, runtime.index_dir, settings.index_url
            )
            _say({"forgotten": gone}, f"forgotten: {', '.join(gone) or 'none'}", as_json=as_json)
            return 0
        with stopped_by_ctrl_c(stop), shown(progress):
            report, compared = Indexer(runtime).migrate(
                collection, str(encoder), progress, stop, switch_over=not no_switch
            )
    status = report_outcome(report, as_json=as_json)
    if compared is not None:
        shares = ", ".join(f"{100 * s:.0f} % of the {k}" for k, s in compared.shared.items())
        switched = f"{encoder} answers now" if not no_switch else "not switched"
        _say(
            {"agreement": compared.as_dict(), "switched": not no_switch},
            f"both give {shares} nearest ({compared.queries} stored images asked); {switched}",
            as_json=as_json,
        )
    return status


def _say(document: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        emit_json({"schema": "likeness.migrate/1", **document})
    else:
        click.echo(text)
