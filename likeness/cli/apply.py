"""`likeness apply`: carry out a plan of `likeness duplicates --plan`."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.sorting.merging import CatalogBooks
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note
from likeness.cli.progress import stopped_by_ctrl_c
from likeness.runtime import Runtime
from likeness.settings import Settings
from search.duplicates.apply import Outcome, apply_plan
from search.duplicates.plan import read_plan


@click.command()
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def apply(settings: Settings, *, plan: Path, as_json: bool) -> int:
    """Move or link the copies that PLAN names; `likeness undo` brings everything back.

    Each file's bytes are checked first, and nothing is deleted: copies go to the plan's folder.
    Stopped or killed, run it again and it goes on. Tags and facts of the copies go to the kept
    image. Exit status 1: some steps were skipped, each with its reason.
    """
    asked = read_plan(plan)
    stop = threading.Event()
    with Runtime(settings) as runtime, stopped_by_ctrl_c(stop):
        catalog = runtime.catalog
        books = CatalogBooks(catalog, catalog.collection(asked.collection).id)
        if asked.steps:
            DuplicateRecords(catalog).journal_begun(asked.plan_id, asked.collection, asked.journal)
        outcome = apply_plan(asked, books, stopped=stop.is_set)
    show_outcome(outcome, as_json=as_json, verb="taken away", schema="likeness.apply/1")
    if outcome.done and not as_json:
        note(f"undo with `likeness undo {outcome.journal}`")
    return 1 if outcome.skipped else 0


def show_outcome(outcome: Outcome, *, as_json: bool, verb: str, schema: str) -> None:
    """Print what was done and what was not."""
    if as_json:
        emit_json(
            {
                "schema": schema,
                "journal": outcome.journal,
                "done": outcome.done,
                "skipped": [{"path": path, "reason": reason} for path, reason in outcome.skipped],
            }
        )
        return
    click.echo(f"{len(outcome.done):,} files {verb}, {len(outcome.skipped):,} left alone")
    for path, reason in outcome.skipped:
        click.echo(f"  {path}: {reason}")
