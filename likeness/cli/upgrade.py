"""`likeness upgrade`: the database's schema is this version's."""

from __future__ import annotations

import time

import click

from likeness.catalog.inspection import upgrade_database
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note
from likeness.errors import CatalogUnavailable
from likeness.settings import Settings

_PAUSE_S = 1.0


@click.command()
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Wait this long for a database that does not answer yet.",
)
@json_option
@click.pass_obj
def upgrade(settings: Settings, *, wait_s: float, as_json: bool) -> int:
    """Bring the database to the schema of this version, before servers and workers start.

    Every command does so by itself; where many start at once, one does it first. Safe to repeat;
    rows are kept. A database that a newer version has written is left alone.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            before, now = upgrade_database(settings.catalog_url)
            break
        except CatalogUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            note(f"waiting: {error}")
            time.sleep(_PAUSE_S)
    if as_json:
        emit_json({"schema": "likeness.upgrade/1", "before": before, "now": now})
    else:
        click.echo(f"schema {now}" + ("" if before == now else f" (was {before or 'none yet'})"))
    return 0
