"""Questions that arrive together are answered together: one pass of the encoder, one of the index.

The event loop collects; threads work. While all lanes are busy, questions gather by themselves. A
question that finds a free lane leaves at once when it has been alone of late, and otherwise waits
for company, never longer than `wait_s`. Under load a lane leaves some behind, so that the next
batch stands ready when it returns: answers take their time to be written and to be read, and new
questions to arrive, and no lane should be idle meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from api.errors import Busy, TookTooLong
from likeness.errors import LikenessError
from search.request import SearchRequest
from search.response import SearchResponse

SearchMany = Callable[[str, Sequence[SearchRequest]], list[SearchResponse]]

_LANES = 3
"""On a CPU two encode, each on half the cores, and on a GPU one (`api.encoders.Turns`); the others
ask index and catalog, or stand ready to encode: nobody waits for the event loop to send them."""

_SLOW_LANES = 2

_ENOUGH = 8
"""Questions that are worth a batch: larger ones take less of an encoder per question by a tenth at
most."""

_MOST_WAITING = 2048
_MOST_SLOW = 128

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Waiting:
    collection: str
    request: SearchRequest
    answer: asyncio.Future[SearchResponse]
    begun: bool = field(default=False)


class SearchBatcher:
    """Answers single questions by `search_many`. Belongs to one event loop; close it there.

    An answer, or an error, is the same as if its question had come alone. observe: told the size
    of each batch.
    """

    def __init__(
        self,
        search_many: SearchMany,
        *,
        wait_s: float,
        most: int,
        timeout_s: float,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._search_many, self._observe = search_many, observe
        self._wait_s, self._most, self._timeout_s = wait_s, most, timeout_s
        self._queue: deque[_Waiting] = deque()
        self._free, self._inside = _LANES, 0
        self._company = False
        self._slow_waiting = 0
        self._counting = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._lanes = ThreadPoolExecutor(_LANES, "search")
        # Re-ranking may take seconds; what does not must not wait behind it.
        self._slow = ThreadPoolExecutor(_SLOW_LANES, "rerank")

    @property
    def waiting(self) -> int:
        """Questions that no lane has taken yet."""
        return len(self._queue)

    @property
    def lanes_at_work(self) -> int:
        """Batches that are being answered. To be read from any thread."""
        return _LANES - self._free

    async def search(self, collection: str, request: SearchRequest) -> SearchResponse:
        """The answer. Raises as `Searcher.search` does, Busy, and TookTooLong."""
        if len(self._queue) >= _MOST_WAITING:
            raise Busy(f"{_MOST_WAITING} questions wait already; ask again in a moment")
        if request.rerank:
            return (await self.run_slow(lambda: self._search_many(collection, [request])))[0]
        answer = asyncio.get_running_loop().create_future()
        waiting = _Waiting(collection, request, answer)
        self._queue.append(waiting)
        self._consider()
        return await self._in_time(answer, lambda: waiting.begun)

    async def run_slow(self, work: Callable[[], T]) -> T:
        """What work returns, done beside the searches. Raises as it does, Busy, and TookTooLong."""
        if self._slow_waiting >= _MOST_SLOW:
            raise Busy(f"{_MOST_SLOW} slow questions wait already; ask again in a while")
        begun = threading.Event()

        def noted() -> T:
            begun.set()
            return work()

        with self._counting:
            self._slow_waiting += 1
        done = self._slow.submit(noted)
        done.add_done_callback(self._one_less)
        return await self._in_time(asyncio.wrap_future(done), begun.is_set)

    def _one_less(self, _done: Future[Any]) -> None:
        with self._counting:
            self._slow_waiting -= 1

    async def _in_time(self, answer: asyncio.Future[T], begun: Callable[[], bool]) -> T:
        """The answer, if it comes in time. One that was not begun is dropped."""
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except TimeoutError:
            if begun():
                raise TookTooLong(
                    f"the answer took longer than {self._timeout_s:g} s; ask for fewer answers, "
                    "candidates or re-rankers"
                ) from None
            raise Busy(
                f"the question waited {self._timeout_s:g} s for its turn; ask again in a while"
            ) from None

    async def close(self) -> None:
        """Wait for what is being worked on; what waits is dropped."""
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            self._queue.popleft().answer.cancel()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._lanes.shutdown)
        await loop.run_in_executor(None, self._slow.shutdown)

    def _consider(self) -> None:
        """Send a batch off if a lane is free and waiting longer brings nothing."""
        if not self._free or not self._queue:
            return
        full = len(self._queue) >= self._share()
        if full or not self._wait_s or not self._company:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._send_all()

    def _send_all(self) -> None:
        """What has waited fills the lanes that are free."""
        while self._free and self._queue:
            self._send()

    def _send(self) -> None:
        """The oldest question and those of its collection leave together, within a fair share."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        collection, most = self._queue[0].collection, self._share()
        batch: list[_Waiting] = []
        rest: deque[_Waiting] = deque()
        while self._queue:
            waiting = self._queue.popleft()
            if waiting.answer.done():  # its asker has left
                continue
            if waiting.collection == collection and len(batch) < most:
                batch.append(waiting)
            else:
                rest.append(waiting)
        self._queue = rest
        if not batch:
            self._consider()
            return
        self._free -= 1
        self._inside += len(batch)
        self._company = len(batch) > 1 or self._free < _LANES - 1
        for waiting in batch:
            waiting.begun = True
        self._observe(len(batch))
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._lanes, self._answers, batch)
        done.add_done_callback(lambda answers: self._returned(batch, answers))

    def _share(self) -> int:
        """Questions that one lane takes: as many stay behind as all lanes hold."""
        here = len(self._queue) + self._inside
        return min(self._most, max(_ENOUGH, math.ceil(here / (2 * _LANES))))

    def _returned(
        self, batch: list[_Waiting], done: asyncio.Future[list[SearchResponse | Exception]]
    ) -> None:
        self._free += 1
        self._inside -= len(batch)
        _deliver(batch, done)
        self._send_all()  # they have waited while the lanes were busy

    def _answers(self, batch: Sequence[_Waiting]) -> list[SearchResponse | Exception]:
        """In a thread: all at once; one by one when one of them cannot be answered."""
        collection = batch[0].collection
        try:
            return list(self._search_many(collection, [waiting.request for waiting in batch]))
        except LikenessError as error:
            if len(batch) == 1:
                return [error]
        answers: list[SearchResponse | Exception] = []
        for waiting in batch:
            try:
                answers += self._search_many(collection, [waiting.request])
            except Exception as error:  # noqa: BLE001 - each asker gets what is theirs
                answers.append(error)
        return answers


def _deliver(
    batch: Sequence[_Waiting], done: asyncio.Future[list[SearchResponse | Exception]]
) -> None:
    error = None if done.cancelled() else done.exception()
    answers: Sequence[SearchResponse | BaseException]
    if done.cancelled() or error is not None:
        answers = [error or Busy("the service is stopping")] * len(batch)
    else:
        answers = done.result()
    for waiting, answer in zip(batch, answers, strict=True):
        if waiting.answer.done():
            continue
        if isinstance(answer, BaseException):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)
