"""Logs as lines for people or as JSON, with the ids of the job, the piece of work and the image."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json"]

_IDS: ContextVar[dict[str, int | str]] = ContextVar("likeness_log_ids")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def log_ids(**ids: int | str | None) -> Iterator[None]:
    """What is logged within the block carries these ids, beside those around it.

    Known ones: job_id, work_id, image_id, collection. Threads that are started within see them
    when they run in a copy of the context.
    """
    given = {name: value for name, value in ids.items() if value is not None}
    token = _IDS.set(_IDS.get({}) | given)
    try:
        yield
    finally:
        _IDS.reset(token)


def current_ids() -> dict[str, int | str]:
    """The ids of this context."""
    return dict(_IDS.get({}))


class JsonLines(logging.Formatter):
    """One JSON document a line: time, level, logger, message, ids, extras, the exception."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **current_ids(),
        }
        document |= {name: v for name, v in vars(record).items() if name not in _OWN}
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """`2026-01-31 12:00:00 INFO indexer.write: … [job_id=3]`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        extras = {n: v for n, v in vars(record).items() if n not in _OWN}
        ids = " ".join(f"{name}={value}" for name, value in (current_ids() | extras).items())
        return super().formatMessage(record) + (f" [{ids}]" if ids else "")


class _Ours(logging.StreamHandler[TextIO]):
    """To be told from handlers that somebody else has set up."""


def configure_logging(
    form: LogFormat, level: str = "INFO", *, stream: TextIO | None = None
) -> None:
    """The root logger writes in that form, to standard error. Called by entry points only."""
    handler = _Ours(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Ours)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
