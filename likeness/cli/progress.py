"""A progress bar on a terminal, plain lines elsewhere; Ctrl-C asks once, insists twice."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from indexer.progress import Progress
from likeness.cli.output import duration_text, note

_LINE_EVERY_S = 10.0
_REFRESH_S = 0.25


@contextmanager
def stopped_by_ctrl_c(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) sets `stop`; a second one interrupts at once."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        note("stopping: what is read is being stored (Ctrl-C again to leave at once)")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show the progress on standard error until the block ends."""
    finished = threading.Event()
    show = _show_live if sys.stderr.isatty() else _show_lines
    thread = threading.Thread(target=show, args=(progress, finished), daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def progress_line(progress: Progress) -> str:
    """One line: done, rate, time left, failures."""
    counts = progress.counts
    parts = [f"{counts.settled:,} of {_total_text(progress)} images"]
    rate = _rate(progress)
    if rate:
        parts.append(f"{rate:.1f} new images/s")
    left = _seconds_left(progress)
    if left is not None:
        parts.append(f"{duration_text(left)} left")
    if counts.kept:
        parts.append(f"{counts.kept:,} unchanged")
    if counts.failed:
        parts.append(f"{counts.failed:,} failed")
    return ", ".join(parts)


def _rate(progress: Progress) -> float:
    counts = progress.counts
    worked = counts.settled - counts.kept
    return worked / progress.seconds if worked and progress.seconds > 0 else 0.0


def _seconds_left(progress: Progress) -> float | None:
    rate = _rate(progress)
    if not progress.scan_done or not rate:
        return None
    return (progress.counts.scanned - progress.counts.settled) / rate


def _total_text(progress: Progress) -> str:
    found = max(progress.counts.scanned, progress.counts.settled)
    return f"{found:,}" if progress.scan_done else f"{found:,}+"


def _show_lines(progress: Progress, finished: threading.Event) -> None:
    while not finished.wait(_LINE_EVERY_S):
        note(progress_line(progress))


def _show_live(progress: Progress, finished: threading.Event) -> None:
    def view() -> Table:
        counts = progress.counts
        total = counts.scanned if progress.scan_done else None
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=total or None, completed=counts.settled, width=30),
            progress_line(progress),
        )
        return grid

    with Live(view(), console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        while not finished.wait(_REFRESH_S):
            live.update(view(), refresh=True)
