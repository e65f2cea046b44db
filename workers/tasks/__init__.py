"""The Celery tasks: one per kind of work, each a line over `run_one`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from celery import Celery

from workers.kinds import KINDS, LONG, LONG_LIMIT_S, task_name
from workers.process import WorkerProcess
from workers.tasks.collections import clusters, duplicates, graph, thumbnails
from workers.tasks.embedding import embed, fill
from workers.tasks.fetching import fetch
from workers.tasks.publishing import publish
from workers.tasks.running import Handler, run_one
from workers.tasks.scanning import gaps, prepare, scan

HANDLERS: Mapping[str, Handler] = {
    "prepare": prepare,
    "scan": scan,
    "embed": embed,
    "gaps": gaps,
    "fill": fill,
    "publish": publish,
    "fetch": fetch,
    "graph": graph,
    "clusters": clusters,
    "duplicates": duplicates,
    "thumbnails": thumbnails,
}


def register(app: Celery, process: Callable[[], WorkerProcess]) -> None:
    """The app has the tasks. process: what the worker process keeps, asked when a task runs."""
    for kind in KINDS:
        limit = {"time_limit": LONG_LIMIT_S} if kind in LONG else {}

        def task(_work_id: int | None = None, kind: str = kind) -> None:
            run_one(process(), kind, HANDLERS[kind])

        app.task(task, name=task_name(kind), **limit)
