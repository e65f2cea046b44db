"""`likeness restore`: a backup becomes the home and the database again."""

from __future__ import annotations

from pathlib import Path

import click

from indexer.backup.manifest import BackupManifest
from indexer.backup.restoring import RestoreReport, check_backup
from indexer.backup.restoring import restore as restore_backup
from indexer.progress import Progress
from indexer.service import Indexer
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note, size_text
from likeness.runtime import Runtime
from likeness.settings import Settings


@click.command()
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Although home or database hold something.")
@click.option("--check", "check_only", is_flag=True, help="Only verify the backup; touch nothing.")
@click.option("--no-index", is_flag=True, help="Leave the indexes to `likeness reindex`.")
@json_option
@click.pass_obj
def restore(
    settings: Settings,
    *,
    source: Path,
    replace: bool,
    check_only: bool,
    no_index: bool,
    as_json: bool,
) -> int:
    """Bring back the backup in the folder SRC, into an empty home and an empty database.

    Every file is compared with its SHA-256 before anything is changed. With --replace, what the
    home holds is moved into its `.replaced-…` folder, and the rows of a PostgreSQL database are
    replaced. Stop servers and workers first. Nothing is embedded again.
    """
    if check_only:
        _say(check_backup(source), None, [], as_json=as_json)
        return 0
    report = restore_backup(settings, source, replace=replace)
    built: list[str] = []
    if not no_index:
        with Runtime(settings) as runtime:
            for summary in runtime.catalog.collections():
                built += Indexer(runtime).rebuild(summary.collection.name, Progress()).published
    _say(report.manifest, report, built, as_json=as_json)
    return 0


def _say(
    manifest: BackupManifest, report: RestoreReport | None, built: list[str], *, as_json: bool
) -> None:
    for notice in report.notices if report else ():
        note(f"note: {notice}")
    if as_json:
        emit_json(
            {
                "schema": "likeness.restore/1",
                "created_at": manifest.created_at,
                "version": manifest.version,
                "files": len(manifest.files),
                "bytes": manifest.total_bytes,
                "restored": report is not None,
                "replaced": report.aside if report else None,
                "uploads_moved": report.moved if report else 0,
                "indexes": built,
            }
        )
        return
    facts = (
        f"backup of {manifest.created_at}: {len(manifest.files):,} files, "
        f"{size_text(manifest.total_bytes)}, all as they were written"
    )
    click.echo(f"{facts}; restored, {len(built)} indexes built" if report else facts)
    if report and report.aside:
        click.echo(f"what was here before lies in {report.aside}; delete it when you are content")
