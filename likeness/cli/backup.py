"""`likeness backup`: everything that cannot be made again, in one folder."""

from __future__ import annotations

from pathlib import Path

import click

from indexer.backup.making import back_up
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note, size_text
from likeness.settings import Settings


@click.command()
@click.argument("target", metavar="DEST", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def backup(settings: Settings, *, target: Path, as_json: bool) -> int:
    """Copy catalog, vectors, uploads and settings into the new folder DEST.

    Safe while images are being added and searched: the copy is of one moment, and nothing waits
    for it. Indexes and thumbnails are left out, `likeness restore` builds indexes anew. Images in
    folders of your own are not copied.
    """
    report = back_up(settings, target)
    manifest = report.manifest
    for name in manifest.left_out:
        note(f"note: {name} is neither a file nor a folder and was left out")
    if as_json:
        emit_json(
            {
                "schema": "likeness.backup/1",
                "path": report.path,
                "created_at": manifest.created_at,
                "database": manifest.database.engine,
                "files": len(manifest.files),
                "bytes": manifest.total_bytes,
                "left_out": list(manifest.left_out),
            }
        )
    else:
        click.echo(
            f"{report.path}: {len(manifest.files):,} files, {size_text(manifest.total_bytes)}, "
            "each with its SHA-256; bring it back with `likeness restore`"
        )
    return 0
