"""Messages to workers. Each is a hint that there is work of a kind, and never the work itself.

So few of them stand in the broker, however much work there is; losing them all costs a sweep.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from likeness.catalog.serving.upkeep import Hint, Upkeep
from workers.kinds import QUEUES, task_name

log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Hints in one queue of the broker, at most: enough for this many idle workers at once."""

_BROKEN = (OperationalError, RedisError, OSError)


class Hints:
    """Sends hints for ready work. Thread-safe; close it."""

    def __init__(self, app: Celery, upkeep: Upkeep, *, again_after_s: float) -> None:
        """again_after_s: work that is still ready then is hinted at again."""
        self._app, self._upkeep, self._again_after_s = app, upkeep, again_after_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def send(self, queues: Iterable[str] = QUEUES) -> bool:
        """Workers hear of ready work; False when the broker cannot be reached, which is logged.

        Raises CatalogError.
        """
        due = self._upkeep.queues_to_hint(again_after_s=self._again_after_s)
        with self._lock:
            try:
                for queue in (queue for queue in queues if queue in due):
                    self._send(queue)
            except _BROKEN as error:
                self._drop()
                log.warning("the broker cannot be reached (%s); work waits until it can", error)
                return False
            return True

    def waiting(self, queue: str) -> int | None:
        """Hints in a queue that no worker has taken; None when the broker cannot be reached."""
        with self._lock:
            try:
                return self._waiting(queue)
            except _BROKEN:
                self._drop()
                return None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _send(self, queue: str) -> None:
        room = MOST_WAITING - self._waiting(queue)
        if room <= 0:
            return
        hints = self._upkeep.hints(queue, limit=room, again_after_s=self._again_after_s)
        unsent = list(hints)
        try:
            for hint in hints:
                self._publish(hint)
                unsent.pop(0)
        finally:
            if unsent:
                self._upkeep.forget_hints([hint.work_id for hint in unsent])

    def _publish(self, hint: Hint) -> None:
        self._app.send_task(
            task_name(hint.kind),
            args=[hint.work_id],
            queue=hint.queue,
            connection=self._open(),
            retry=False,
            ignore_result=True,
        )

    def _waiting(self, queue: str) -> int:
        channel = self._open().default_channel
        return int(channel.queue_declare(queue=queue).message_count)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
            self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(*_BROKEN):
                self._connection.release()
        self._connection = None
