"""`likeness collections`: list, make and delete named sets of images."""

from __future__ import annotations

import shutil

import click

from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note, print_table
from likeness.runtime import Runtime
from likeness.settings import Settings


@click.command()
@click.option("--create", metavar="NAME", help="Make an empty collection.")
@click.option("--delete", metavar="NAME", help="Delete a collection; image files stay untouched.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@json_option
@click.pass_obj
def collections(
    settings: Settings, *, create: str | None, delete: str | None, yes: bool, as_json: bool
) -> int:
    """List the collections, or make or delete one."""
    with Runtime(settings) as runtime:
        if create is not None:
            runtime.catalog.create_collection(create)
        if delete is not None:
            _delete(runtime, delete, yes=yes)
        rows = [
            {
                "name": summary.collection.name,
                "ready": summary.counts.ready,
                "failed": summary.counts.failed,
                "gone": summary.counts.gone,
                "encoders": [each.space.encoder for each in summary.spaces],
                "created_at": summary.collection.created_at,
            }
            for summary in runtime.catalog.collections()
        ]
    if as_json:
        emit_json({"schema": "likeness.collections/1", "collections": rows})
    else:
        print_table(
            ("collection", "ready", "failed", "gone", "encoders", "since"),
            [
                (
                    row["name"],
                    row["ready"],
                    row["failed"],
                    row["gone"],
                    ", ".join(row["encoders"]),  # type: ignore[arg-type]
                    row["created_at"],
                )
                for row in rows
            ],
        )
    return 0


def _delete(runtime: Runtime, name: str, *, yes: bool) -> None:
    collection = runtime.catalog.collection(name)
    if not yes:
        ready = runtime.catalog.counts(collection.id).ready
        click.confirm(
            f"Delete collection {name!r} with the embeddings of {ready:,} images? "
            "(The image files stay.)",
            abort=True,
            err=True,
        )
    directories = {runtime.index_dir(s).parent for s in runtime.catalog.spaces(collection.id)}
    runtime.catalog.drop_collection(name)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
    note(f"deleted {name}")
