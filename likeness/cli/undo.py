"""`likeness undo`: take an applied plan back."""

from __future__ import annotations

from pathlib import Path

import click

from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.sorting.merging import CatalogBooks
from likeness.cli.apply import show_outcome
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, print_table
from likeness.errors import InputError
from likeness.runtime import Runtime
from likeness.settings import Settings
from search.duplicates.apply import read_journal
from search.duplicates.apply import undo as undo_journal


@click.command()
@click.argument("journal", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--list", "listed", is_flag=True, help="Only list what was applied.")
@json_option
@click.pass_obj
def undo(settings: Settings, *, journal: Path | None, listed: bool, as_json: bool) -> int:
    """Bring back every file that a plan took away; by default of the plan applied last.

    A place that another file has taken meanwhile is left alone and listed (exit status 1).
    """
    with Runtime(settings) as runtime:
        catalog = runtime.catalog
        records = DuplicateRecords(catalog)
        if listed:
            _list(records, as_json=as_json)
            return 0
        if journal is None:
            journal = next((j.path for j in records.journals() if j.undone_at is None), None)
        if journal is None:
            raise InputError("nothing was applied that could be undone; `likeness undo --list`")
        collection = str(read_journal(journal).header["collection"])
        books = CatalogBooks(catalog, catalog.collection(collection).id)
        outcome = undo_journal(journal, books)
        if not outcome.skipped:
            records.journal_undone(journal)
    show_outcome(outcome, as_json=as_json, verb="brought back", schema="likeness.undo/1")
    return 1 if outcome.skipped else 0


def _list(records: DuplicateRecords, *, as_json: bool) -> None:
    journals = records.journals()
    if as_json:
        for each in journals:
            emit_json(
                {
                    "schema": "likeness.journal/1",
                    "plan": each.plan_id,
                    "collection": each.collection,
                    "journal": each.path,
                    "applied_at": each.applied_at,
                    "undone_at": each.undone_at,
                }
            )
        return
    print_table(
        ("applied", "undone", "collection", "journal"),
        [(j.applied_at, j.undone_at, j.collection, j.path) for j in journals],
    )
