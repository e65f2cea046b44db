"""The Celery tasks: one per kind of work, each a line over `run_ready`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from celery import Celery

from workers.kinds import KINDS, LONG, LONG_LIMIT_S, task_name
from workers.process import WorkerProcess
from workers.tasks.running import run_ready

HANDLERS: Mapping[str, str] = {
    "prepare": "workers.tasks.scanning:prepare",
    "scan": "workers.tasks.scanning:scan",
    "gaps": "workers.tasks.scanning:gaps",
    "embed": "workers.tasks.embedding:embed",
    "fill": "workers.tasks.embedding:fill",
    "fetch": "workers.tasks.fetching:fetch",
    "publish": "workers.tasks.publishing:publish",
    "graph": "workers.tasks.collections:graph",
    "clusters": "workers.tasks.collections:clusters",
    "duplicates": "workers.tasks.collections:duplicates",
    "thumbnails": "workers.tasks.collections:thumbnails",
}
"""Kind → what does it, imported when the first of that kind arrives: a worker starts sooner."""


def register(app: Celery, process: Callable[[], WorkerProcess]) -> None:
    """The app has the tasks. process: what the worker process keeps, asked when a task runs."""
    for kind in KINDS:
        limit = {"time_limit": LONG_LIMIT_S} if kind in LONG else {}

        def task(_work_id: int | None = None, kind: str = kind) -> None:
            module, _, name = HANDLERS[kind].partition(":")
            run_ready(process(), kind, getattr(importlib.import_module(module), name))

        app.task(task, name=task_name(kind), **limit)
