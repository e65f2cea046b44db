"""`likeness index`: sources in, searchable images out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from indexer.admission import SAME_BYTES, Admission, SameBytesOnly
from indexer.limits import source_limits
from indexer.progress import IndexReport, Progress
from indexer.service import Indexer, IndexRequest
from indexer.sources import UriReader
from likeness.catalog.records import Collection
from likeness.cli.jobs import job_document
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import duration_text, emit_json, note
from likeness.cli.progress import shown, stopped_by_ctrl_c
from likeness.cli.queued import follow, report_of
from likeness.runtime import Runtime
from likeness.settings import Settings
from search.duplicates.same_pixels import SamePixels, open_same_pixels

_LISTED = 10


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "--from",
    "lists",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="LIST",
    help="List of paths or URLs: .txt, .csv or .parquet; other columns are kept and searchable.",
)
@click.option("--column", help="Column of the list that holds the path or URL.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only matching files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No matching files.")
@click.option("--hidden", is_flag=True, help="Hidden files and folders too.")
@click.option("--follow-symlinks", is_flag=True, help="Follow symbolic links (loops are met once).")
@click.option("--encoder", metavar="NAME", help="Encoder of a new collection (`likeness models`).")
@click.option("--retry-failed", is_flag=True, help="Read failed images again, changed or not.")
@click.option("--restore", is_flag=True, help="Bring back images that were removed.")
@click.option("--prune", is_flag=True, help="Let images go even when their source is empty now.")
@click.option(
    "--skip-duplicates",
    type=click.Choice([SAME_BYTES, SamePixels.relation]),
    help="Leave new images out that are the same as one of the collection, and list them.",
)
@click.option("--queue", is_flag=True, help="Let workers do it (`likeness worker`).")
@click.option("--detach", is_flag=True, help="With --queue: print the job, do not wait for it.")
@click.option("--rescan", is_flag=True, help="With --queue: repeated as LIKENESS_RESCAN_S says.")
@collection_option
@json_option
@click.pass_obj
def index(
    settings: Settings,
    *,
    sources: tuple[str, ...],
    lists: tuple[Path, ...],
    column: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    hidden: bool,
    follow_symlinks: bool,
    encoder: str | None,
    retry_failed: bool,
    restore: bool,
    prune: bool,
    skip_duplicates: str | None,
    queue: bool,
    detach: bool,
    rescan: bool,
    collection: str,
    as_json: bool,
) -> int:
    """Scan SOURCE (folders, files, .zip/.tar archives, WebDataset shards), embed what is new.

    Safe to repeat and to interrupt: what is stored stays, the next run continues. Files that
    moved are recognised by their bytes, changed ones are embedded again, vanished ones disappear
    from results.
    """
    request = IndexRequest(
        collection=collection,
        sources=sources,
        lists=lists,
        column=column,
        include=include,
        exclude=exclude,
        hidden=hidden,
        follow_symlinks=follow_symlinks,
        encoder=encoder,
        retry_failed=retry_failed,
        restore=restore,
        prune=prune,
    )
    if (detach or rescan) and not queue:
        raise click.UsageError("--detach and --rescan go with --queue")
    if queue:
        if skip_duplicates:
            raise click.UsageError("--skip-duplicates and --queue cannot be combined")
        return _queue(settings, request, detach=detach, rescan=rescan, as_json=as_json)
    progress, stop = Progress(), threading.Event()
    with (
        Runtime(settings) as runtime,
        stopped_by_ctrl_c(stop),
        _admission(runtime, skip_duplicates) as admission,
        shown(progress),
    ):
        report = Indexer(runtime).index(request, progress, stop, admission=admission)
    return report_outcome(report, as_json=as_json)


def _queue(
    settings: Settings, request: IndexRequest, *, detach: bool, rescan: bool, as_json: bool
) -> int:
    """Leave the work to workers, and watch. Ctrl-C leaves the job to itself."""
    from workers.queue import WorkQueue  # with Celery behind it: other commands start without

    progress, stop = Progress(), threading.Event()
    with Runtime(settings) as runtime, WorkQueue(settings, runtime.catalog) as work:
        job = work.index(request, rescan=rescan)
        if not detach:
            note(f"job {job.id}: workers do it (Ctrl-C leaves it to them)")
            with stopped_by_ctrl_c(stop), shown(progress):
                job = follow(work.jobs, job.id, progress, stop)
        if not job.state.final:
            if as_json:
                emit_json({"schema": "likeness.job/1", **job_document(job), "dead": []})
            else:
                click.echo(f"job {job.id} is {job.state.value}; `likeness jobs show {job.id}`")
            return 0 if detach else 130
        report = report_of(job, runtime.catalog, progress.seconds)
    return report_outcome(report, as_json=as_json)


@contextmanager
def _admission(
    runtime: Runtime, skip: str | None
) -> Iterator[Callable[[Collection], Admission] | None]:
    """What keeps new images out; None lets all in."""
    if skip is None:
        yield None
    elif skip == SAME_BYTES:
        yield lambda _collection: SameBytesOnly()
    else:
        settings = runtime.settings
        limits = source_limits(settings)
        with UriReader(limits) as reader, open_same_pixels(runtime, reader.read) as same_pixels:
            yield lambda collection: same_pixels(collection.id)


def report_outcome(report: IndexReport, *, as_json: bool) -> int:
    """Print the report of a run; returns the exit status: 0, 1 with failures, 130 stopped."""
    for text in report.notices:
        note(f"note: {text}")
    if as_json:
        emit_json({"schema": "likeness.index/1", **report.as_dict()})
    else:
        _print_report(report)
    if not report.complete:
        return 130
    return 1 if report.counts.failed or report.counts.problems else 0


def _print_report(report: IndexReport) -> None:
    counts = report.counts
    words = [
        (counts.stored, "embedded"),
        (counts.linked, "same bytes as another"),
        (counts.moved, "moved"),
        (counts.filled, "embedded in a further space"),
        (counts.kept, "unchanged"),
        (counts.removed, "left out as removed"),
        (counts.skipped, "left out as repeating another"),
        (counts.gone, "vanished"),
        (counts.failed, "failed"),
    ]
    done = ", ".join(f"{n:,} {word}" for n, word in words if n) or "nothing to do"
    state = "" if report.complete else " (stopped; run again to continue)"
    click.echo(
        f"{report.collection}: {done} in {duration_text(report.seconds)}{state}; "
        f"encoder {', '.join(report.encoders)}"
    )
    for skipped in report.skipped[:_LISTED]:
        note(
            f"  {skipped.relation}: {skipped.path} repeats image {skipped.image_id} "
            f"({skipped.same_as})"
        )
    if counts.skipped > _LISTED:
        note(f"  and {counts.skipped - _LISTED:,} more left out: `--json` lists them")
    for problem in report.problems[:_LISTED]:
        note(f"  {problem.code}: {problem.reason}")
    more = counts.failed + counts.problems - _LISTED
    if more > 0:
        note(f"  and {more:,} more: `likeness images --failed` lists them")
