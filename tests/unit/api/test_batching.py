"""Questions gather, and each asker gets what is theirs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from api.batching import SearchBatcher
from api.errors import Busy, TookTooLong
from likeness.errors import QueryError
from search.request import SearchRequest, TextTerm


def asked(text: str, **options: Any) -> SearchRequest:
    return SearchRequest((TextTerm(text),), **options)


def text_of(request: SearchRequest) -> str:
    (term,) = request.terms
    assert isinstance(term, TextTerm)
    return term.text


class Answers:
    """Answers each question by its own words, and remembers the batches."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.batches: list[tuple[str, list[str]]] = []
        self.takes_s = takes_s
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, collection: str, requests: Sequence[SearchRequest]) -> list[Any]:
        texts = [text_of(request) for request in requests]
        self.batches.append((collection, texts))
        self.gate.wait(10)
        time.sleep(self.takes_s)
        if "bad" in texts:
            raise QueryError("bad cannot be asked")
        return [f"{collection}: {text}" for text in texts]

    @property
    def sizes(self) -> list[int]:
        return [len(texts) for _, texts in self.batches]


def batcher(answers: Answers, **options: Any) -> SearchBatcher:
    return SearchBatcher(answers, **{"wait_s": 0.05, "most": 8, "timeout_s": 5.0, **options})


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_a_lone_question_leaves_at_once() -> None:
    answers = Answers()

    async def work() -> float:
        box = batcher(answers, wait_s=1.0)
        begun = time.perf_counter()
        assert await box.search("c", asked("a")) == "c: a"  # type: ignore[comparison-overlap]
        spent = time.perf_counter() - begun
        await box.close()
        return spent

    assert run(work()) < 0.5


def test_questions_that_come_while_lanes_are_busy_leave_together() -> None:
    answers = Answers()
    answers.gate.clear()

    async def work() -> list[Any]:
        box = batcher(answers)
        asking = [asyncio.create_task(box.search("c", asked(str(n)))) for n in range(20)]
        while len(answers.batches) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert box.waiting > 0
        answers.gate.set()
        found = await asyncio.gather(*asking)
        await box.close()
        return list(found)

    assert run(work()) == [f"c: {n}" for n in range(20)]
    assert sum(answers.sizes) == 20
    assert max(answers.sizes) == 8, "never more than most"
    assert len(answers.sizes) <= 5


def test_under_load_a_lane_leaves_as_many_behind_as_all_lanes_hold() -> None:
    answers = Answers()
    answers.gate.clear()

    async def work() -> None:
        box = batcher(answers, most=1000)
        asking = [asyncio.create_task(box.search("c", asked(str(n)))) for n in range(130)]
        await asyncio.sleep(0.05)
        answers.gate.set()
        await asyncio.gather(*asking)
        await box.close()

    run(work())
    assert sum(answers.sizes) == 130
    assert 8 < max(answers.sizes) <= 22, "a sixth of 130, though one batch could hold all"


def test_enough_for_all_lanes_leave_at_once_though_company_was_expected() -> None:
    answers = Answers()

    async def work() -> list[int]:
        box = batcher(answers, wait_s=1.0)
        await asyncio.gather(*(box.search("c", asked(str(n))) for n in range(3)))
        answers.gate.clear()
        asking = [asyncio.create_task(box.search("c", asked(str(n)))) for n in range(16)]
        while sum(answers.sizes) < 3 + 16:
            await asyncio.sleep(0.01)
        answers.gate.set()
        await asyncio.gather(*asking)
        await box.close()
        return answers.sizes[-2:]

    assert run(work()) == [8, 8]


def test_collections_do_not_share_a_batch() -> None:
    answers = Answers()
    answers.gate.clear()

    async def work() -> list[Any]:
        box = batcher(answers)
        names = ["a", "b"] * 6
        asking = [asyncio.create_task(box.search(name, asked("x"))) for name in names]
        await asyncio.sleep(0.1)
        answers.gate.set()
        found = await asyncio.gather(*asking)
        await box.close()
        return list(found)

    assert run(work()) == [f"{name}: x" for name in ["a", "b"] * 6]


def test_one_bad_question_spoils_only_its_own_answer() -> None:
    answers = Answers(takes_s=0.01)

    async def work() -> list[Any]:
        box = batcher(answers)
        words = ["a", "b", "c", "bad", "d", "e"]
        found = await asyncio.gather(
            *(box.search("c", asked(word)) for word in words), return_exceptions=True
        )
        await box.close()
        return list(found)

    found = run(work())
    assert [str(each) for each in found] == [
        "c: a", "c: b", "c: c", "bad cannot be asked", "c: d", "c: e"
    ]  # fmt: skip
    assert isinstance(found[3], QueryError)


def test_what_takes_too_long_and_what_never_begins_are_told_apart() -> None:
    answers = Answers()
    answers.gate.clear()

    async def work() -> list[Any]:
        box = batcher(answers, timeout_s=0.3, most=1)
        found = await asyncio.gather(
            *(box.search("c", asked(str(n))) for n in range(5)), return_exceptions=True
        )
        answers.gate.set()
        assert str(await box.search("c", asked("again"))) == "c: again"
        await box.close()
        return list(found)

    kinds = [type(each) for each in run(work())]
    assert kinds == [TookTooLong] * 3 + [Busy] * 2


def test_slow_questions_do_not_hold_up_the_others() -> None:
    answers = Answers()
    answers.gate.clear()

    async def work() -> None:
        box = batcher(answers)
        slow = asyncio.create_task(box.search("c", asked("slow", rerank=("qe",))))
        while not answers.batches:
            await asyncio.sleep(0.01)
        quick = asyncio.create_task(box.search("c", asked("quick")))
        await asyncio.sleep(0.05)
        assert len(answers.batches) == 2
        answers.gate.set()
        assert [str(await slow), str(await quick)] == ["c: slow", "c: quick"]
        await box.close()

    run(work())


def test_an_unexpected_error_reaches_every_asker_of_the_batch() -> None:
    def broken(_collection: str, _requests: Sequence[SearchRequest]) -> list[Any]:
        raise RuntimeError("broken")

    async def work() -> list[Any]:
        box = SearchBatcher(broken, wait_s=0, most=4, timeout_s=5)
        found = await asyncio.gather(
            *(box.search("c", asked(str(n))) for n in range(3)), return_exceptions=True
        )
        await box.close()
        return list(found)

    assert [str(each) for each in run(work())] == ["broken"] * 3


def test_an_asker_who_left_costs_nothing() -> None:
    answers = Answers()
    answers.gate.clear()

    async def work() -> None:
        box = batcher(answers, most=1)
        asking = [asyncio.create_task(box.search("c", asked(str(n)))) for n in range(7)]
        await asyncio.sleep(0.05)
        for task in asking[3:6]:
            task.cancel()
        await asyncio.sleep(0)
        answers.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await asking[4]
        assert str(await asking[6]) == "c: 6"
        await box.close()

    run(work())
    assert sorted(text for _, texts in answers.batches for text in texts) == ["0", "1", "2", "6"]
