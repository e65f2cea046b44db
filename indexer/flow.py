"""Stages that overlap: order-preserving look-ahead and hand-over between threads, both bounded."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_POLL_S = 0.1


def look_ahead(
    items: Iterable[T],
    submit: Callable[[T], R],
    *,
    limit: int,
    weight: Callable[[T], int] = lambda _: 0,
    weight_limit: int = 0,
) -> Iterator[tuple[T, R]]:
    """Submit up to `limit` items ahead and yield (item, what submit returned) in input order.

    submit: starts the work and returns at once, usually with a future, which may be unfinished
    when it is yielded. weight, weight_limit: a second bound, for example bytes held; a single item
    above it still passes, alone.
    """
    ahead: deque[tuple[T, R, int]] = deque()
    held = 0
    for item in items:
        weighs = weight(item)
        while ahead and (len(ahead) >= limit or (weight_limit and held + weighs > weight_limit)):
            first, outcome, freed = ahead.popleft()
            held -= freed
            yield first, outcome
        ahead.append((item, submit(item), weighs))
        held += weighs
    while ahead:
        first, outcome, _ = ahead.popleft()
        yield first, outcome


class Prefetch(Generic[T]):
    """An iterable produced by a thread of its own, at most `capacity` items ahead.

    An error of the producer is raised at the consumer, after the items before it. Leaving the
    `with` block stops the producer at its next item.
    """

    def __init__(self, items: Iterable[T], capacity: int, name: str) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(capacity)
        self._abandoned = threading.Event()
        # In a copy of the context: what it logs carries the ids of who waits for it.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._produce,), name=name, daemon=True)

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandoned.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _produce(self) -> None:
        end = _End(None)
        try:
            for item in self._items:
                if not self._hand_over(item):
                    return
        except BaseException as error:  # noqa: BLE001 - carried to the consumer's thread
            end = _End(error)
        self._hand_over(end)

    def _hand_over(self, item: T | _End) -> bool:
        while not self._abandoned.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
