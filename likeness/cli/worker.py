"""`likeness worker`: takes queued work until it is told to stop."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note
from likeness.settings import Settings
from likeness.telemetry.logs import configure_logging

_QUEUES = ("gpu", "cpu", "io")


@click.command()
@click.option(
    "--queues",
    default=",".join(_QUEUES),
    show_default=True,
    help="Kinds of work to take: gpu (embedding), cpu (indexes, graphs), io (scanning).",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Pieces of work at once, each in a process with an encoder of its own.",
)
@click.option(
    "--health-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Say there every few seconds how the worker is.",
)
@click.option("--health-port", type=click.IntRange(1, 65535), help="Answer GET /healthz there.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Answer Prometheus there.")
@click.option("--check", is_flag=True, help="Only read --health-file: 0 healthy, 1 not.")
@click.option("--verbose", is_flag=True, help="Say more.")
@json_option
@click.pass_obj
def worker(
    settings: Settings,
    *,
    queues: str,
    concurrency: int,
    health_file: Path | None,
    health_port: int | None,
    metrics_port: int | None,
    check: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Take work that `likeness index --queue` and the HTTP API have queued.

    Needs a broker (LIKENESS_BROKER_URL) and, on more than one machine, a database that all share
    (LIKENESS_DATABASE_URL). SIGTERM or Ctrl-C: what is in hand is finished, or handed back, within
    the grace time. Healthy means that work gets done, or that there is none.
    """
    if check:
        return _check(health_file, as_json=as_json)
    chosen = [name.strip() for name in queues.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in _QUEUES] or not chosen:
        raise click.UsageError(f"--queues takes {', '.join(_QUEUES)}, not {unknown or 'nothing'}")

    from workers.health import published
    from workers.metrics import serving_metrics
    from workers.supervisor import Supervisor  # with Celery behind it: others start without

    level = "DEBUG" if verbose else settings.log_level.upper()
    configure_logging(settings.log_format, level)
    with published(health_file, health_port) as publish, serving_metrics(metrics_port) as metrics:
        supervisor = Supervisor(
            settings,
            queues=chosen,
            concurrency=concurrency,
            log_level=level,
            publish_health=publish,
            metrics=metrics,
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: supervisor.stop())
        if as_json:
            emit_json({"schema": "likeness.worker/1", "queues": chosen, "pid": os.getpid()})
        note(f"taking work from {', '.join(chosen)} (Ctrl-C stops)")
        return supervisor.run()


def _check(health_file: Path | None, *, as_json: bool) -> int:
    from workers.health import read

    if health_file is None:
        raise click.UsageError("--check reads what a worker says in its --health-file: name that")
    healthy, said = read(health_file)
    if as_json:
        emit_json({"schema": "likeness.worker-health/1", **said})
    else:
        click.echo("healthy" if healthy else f"not healthy: {said.get('trouble')}")
    return 0 if healthy else 1
