"""`likeness watch`: a collection that is in step with a folder, for as long as it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from indexer.progress import IndexReport, Progress
from indexer.service import IndexRequest
from indexer.sources.patterns import Selection
from indexer.watching.touched import TouchedIndexer
from indexer.watching.watcher import Watcher, WatchOptions
from likeness.catalog.serving.jobs import Job
from likeness.cli.index import report_outcome
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import emit_json, note
from likeness.cli.progress import shown, stopped_by_ctrl_c
from likeness.errors import CatalogUnavailable, SnapshotError
from likeness.runtime import Runtime
from likeness.settings import Settings

_WITHOUT_BROKER, _WITH_BROKER = 2.0, 5.0


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--include", multiple=True, metavar="PATTERN", help="Only matching files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No matching files.")
@click.option("--hidden", is_flag=True, help="Hidden files and folders too.")
@click.option("--follow-symlinks", is_flag=True, help="Follow symbolic links (loops are met once).")
@click.option("--encoder", metavar="NAME", help="Encoder of a new collection (`likeness models`).")
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="A file must stand still this long before it is read; default: 2, through a queue 5.",
)
@click.option(
    "--rescan",
    "rescan_s",
    type=click.FloatRange(0),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Look at everything this often, for what events missed; 0: only at the start.",
)
@click.option("--poll", is_flag=True, help="Look again and again: for drives without events.")
@collection_option
@json_option
@click.pass_obj
def watch(
    settings: Settings,
    *,
    folder: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    hidden: bool,
    follow_symlinks: bool,
    encoder: str | None,
    settle_s: float | None,
    rescan_s: float,
    poll: bool,
    collection: str,
    as_json: bool,
) -> int:
    """Keep a collection in step with DIR: new, changed, moved and deleted images, until Ctrl-C.

    Scans everything first. Files that are still being written are waited for. Where a broker is
    set, workers do the work; otherwise this process does. With --json, one line per step.
    """
    request = IndexRequest(
        collection=collection,
        sources=(str(folder.expanduser().absolute()),),
        include=include,
        exclude=exclude,
        hidden=hidden,
        follow_symlinks=follow_symlinks,
        encoder=encoder,
    )
    options = WatchOptions(
        settle_s=settle_s or (_WITH_BROKER if settings.broker_url else _WITHOUT_BROKER),
        rescan_s=rescan_s,
        poll=poll,
    )
    stop = threading.Event()
    with Runtime(settings) as runtime, stopped_by_ctrl_c(stop):
        steps = (_Queued if settings.broker_url else _Here)(runtime, request, stop, as_json=as_json)
        watcher = Watcher(
            folder,
            Selection.of(include, exclude, hidden=hidden),
            options,
            scan=steps.scan,
            follow=lambda paths: steps.follow(watcher.folder, paths),
            say=note,
        )
        try:
            note(f"watching {watcher.folder} (Ctrl-C stops)")
            watcher.run(stop)
        finally:
            steps.close()
    return 0


class _Here:
    """Steps that are done in this process."""

    def __init__(
        self, runtime: Runtime, request: IndexRequest, stop: threading.Event, *, as_json: bool
    ) -> None:
        self._indexer, self._request, self._stop = TouchedIndexer(runtime), request, stop
        self._as_json = as_json

    def scan(self) -> None:
        self._do(lambda progress: self._indexer.index(self._request, progress, self._stop))

    def follow(self, folder: Path, paths: Sequence[Path]) -> bool:
        def work(progress: Progress) -> IndexReport:
            return self._indexer.follow(self._request, folder, paths, progress, self._stop)

        return self._do(work)

    def close(self) -> None:
        """Nothing is open."""

    def _do(self, work: Callable[[Progress], IndexReport]) -> bool:
        """Whether it was done; a watcher outlives a database that is restarted."""
        progress = Progress()
        try:
            with shown(progress):
                report = work(progress)
        except (CatalogUnavailable, SnapshotError) as error:
            note(f"not done now: {error}")
            return False
        counts = report.counts
        if counts.settled != counts.kept or counts.gone or counts.problems or report.notices:
            report_outcome(report, as_json=self._as_json)
        return True


class _Queued:
    """Steps that are handed to workers, as jobs over the folders in which something changed."""

    def __init__(
        self, runtime: Runtime, request: IndexRequest, stop: threading.Event, *, as_json: bool
    ) -> None:
        del stop  # a job goes on without us
        from workers.queue import WorkQueue  # with Celery behind it

        self._queue = WorkQueue(runtime.settings, runtime.catalog)
        self._request, self._as_json = request, as_json
        self._job: Job | None = None

    def scan(self) -> None:
        self._hand_over()

    def follow(self, folder: Path, paths: Sequence[Path]) -> bool:
        """One job at a time: what changes while it runs is for the next one."""
        del folder, paths  # all of it: patterns count from there, and looking costs a worker little
        try:
            if self._job is not None and not self._queue.jobs.get(self._job.id).state.final:
                return False
        except CatalogUnavailable:
            return False
        return self._hand_over()

    def close(self) -> None:
        self._queue.close()

    def _hand_over(self) -> bool:
        try:
            job = self._job = self._queue.index(self._request)
        except CatalogUnavailable as error:
            note(f"not handed over now: {error}")
            return False
        if self._as_json:
            emit_json({"schema": "likeness.watch/1", "job": job.id})
        else:
            folder = ", ".join(self._request.sources)
            click.echo(f"job {job.id}: {folder} (`likeness jobs show {job.id}`)")
        return True
