"""The ledger of work on every engine: leases, fences, exactly-once counts, jobs that end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from likeness.catalog import Catalog
from likeness.catalog.engine import writing
from likeness.catalog.serving.jobs import Jobs, JobState
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import NewWork, Tally, Work, WorkState
from likeness.errors import AlreadyDone, JobNotFound, LeaseLost

EMBED = NewWork("embed", "gpu", {"items": [["file:///a.jpg"]]}, images=1)


@pytest.fixture
def ledger(catalog: Catalog) -> Ledger:
    return Ledger(catalog)


@pytest.fixture
def upkeep(catalog: Catalog) -> Upkeep:
    return Upkeep(catalog)


def lapse(catalog: Catalog, work: Work) -> None:
    """The lease of a piece runs out now."""
    with writing(catalog.engine) as connection:
        statement = text("UPDATE work_items SET lease_until = 1 WHERE id = :id")
        connection.execute(statement, {"id": work.id})


def claimed(ledger: Ledger, owner: str = "a", kind: str = "embed") -> Work:
    work = ledger.claim_next(owner, 60, kind=kind)
    assert work is not None
    return work


def test_a_payload_comes_back_as_it_was_given(ledger: Ledger) -> None:
    payload = {"items": [["file:///%C3%BC.jpg", "ü \udcff", 3, None, {"a": 1.5}]]}
    ledger.submit("default", "index", {}, [NewWork("embed", "gpu", payload, images=1)])
    assert claimed(ledger).payload == payload


def test_a_piece_is_leased_to_one_of_many_who_ask_at_once(catalog: Catalog) -> None:
    ledger = Ledger(catalog)
    job = ledger.submit("default", "index", {}, [EMBED] * 40)
    barrier = threading.Barrier(8)

    def take(owner: str) -> list[int]:
        barrier.wait()
        got = []
        while (work := ledger.claim_next(owner, 60, kind="embed", job_id=job.id)) is not None:
            got.append(work.id)
        return got

    with ThreadPoolExecutor(8) as pool:
        taken = [i for ids in pool.map(take, "abcdefgh") for i in ids]
    # SKIP LOCKED may leave somebody empty-handed while others hold what is left, never twice.
    assert len(taken) == len(set(taken)) == 40


def test_the_same_message_three_times_finds_its_work_once(ledger: Ledger) -> None:
    job = ledger.submit("default", "index", {}, [EMBED])
    (work,) = ledger.of_job(job.id)
    answers = [ledger.claim(work.id, owner, 60) for owner in "abc"]
    assert [answer is not None for answer in answers] == [True, False, False]
    assert answers[0] is not None
    ledger.complete(answers[0], Tally({"stored": 1}))
    assert ledger.claim(work.id, "d", 60) is None


def test_a_lost_lease_completes_nothing_and_counts_nothing(
    catalog: Catalog, ledger: Ledger, upkeep: Upkeep
) -> None:
    job = ledger.submit("default", "index", {}, [EMBED])
    first = claimed(ledger, "slow")
    lapse(catalog, first)
    (lapsed,) = upkeep.lapsed()
    assert (lapsed.id, lapsed.owner, lapsed.attempts) == (first.id, "slow", 1)
    assert ledger.fail(lapsed, "its worker was lost", retry_in_s=0)
    second = claimed(ledger, "quick")
    assert second.attempts == 2
    with pytest.raises(LeaseLost):
        ledger.complete(first, Tally({"stored": 1}))
    assert not ledger.give_back(first)
    assert not ledger.fail(first, "too late", retry_in_s=None)
    assert ledger.renew("slow", [first], 60).held == frozenset()
    ledger.complete(second, Tally({"stored": 1}))
    assert Jobs(catalog).get(job.id).counts == {"stored": 1}


def test_a_lease_of_the_same_owner_taken_again_is_another_lease(
    catalog: Catalog, ledger: Ledger, upkeep: Upkeep
) -> None:
    ledger.submit("default", "index", {}, [EMBED])
    first = claimed(ledger)
    lapse(catalog, first)
    assert ledger.fail(upkeep.lapsed()[0], "lost", retry_in_s=0)
    claimed(ledger)
    with pytest.raises(LeaseLost):
        ledger.complete(first)


def test_completing_twice_by_the_same_lease_says_so(ledger: Ledger) -> None:
    ledger.submit("default", "index", {}, [EMBED])
    work = claimed(ledger)
    ledger.complete(work)
    with pytest.raises(AlreadyDone):
        ledger.complete(work)


def test_a_renewed_lease_lasts_and_a_cancelled_job_is_heard_of(
    ledger: Ledger, upkeep: Upkeep
) -> None:
    job = ledger.submit("default", "index", {}, [EMBED, EMBED])
    work = ledger.claim_next("a", 0.05, kind="embed")
    assert work is not None
    assert ledger.renew("a", [work], 60).held == {work.id}
    time.sleep(0.1)
    assert upkeep.lapsed() == []
    assert upkeep.cancel(job.id).state is JobState.CANCELLING
    assert ledger.renew("a", [work], 60).stopped == {work.id}
    assert ledger.claim_next("b", 60, kind="embed") is None
    ledger.complete(work, Tally({"stored": 1}))
    assert upkeep.advance(job.id).state is JobState.CANCELLED


def test_a_queued_job_is_cancelled_at_once_and_never_begins(ledger: Ledger, upkeep: Upkeep) -> None:
    job = ledger.submit("default", "index", {}, [EMBED, NewWork("publish", "cpu", stage=1)])
    assert upkeep.cancel(job.id).state is JobState.CANCELLED
    assert ledger.claim_next("a", 60, kind="embed") is None
    assert upkeep.jobs_to_advance() == []


def test_what_is_given_back_was_no_attempt_and_is_taken_up_at_once(ledger: Ledger) -> None:
    ledger.submit("default", "index", {}, [EMBED])
    work = claimed(ledger)
    assert ledger.give_back(work)
    again = claimed(ledger, "b")
    assert (again.id, again.attempts) == (work.id, 1)


def test_a_failed_piece_waits_for_its_time_and_a_dead_one_for_a_person(
    catalog: Catalog, ledger: Ledger, upkeep: Upkeep
) -> None:
    job = ledger.submit("default", "index", {}, [EMBED])
    work = claimed(ledger)
    assert ledger.fail(work, "no room", retry_in_s=60)
    assert ledger.claim_next("a", 60, kind="embed") is None
    assert upkeep.hints("gpu", limit=10, again_after_s=0) == []
    with writing(catalog.engine) as connection:
        connection.execute(text("UPDATE work_items SET due_at = 0"))
    assert ledger.fail(claimed(ledger), "still no room", retry_in_s=None)
    ended = upkeep.advance(job.id)
    assert (ended.state, ended.message) == (JobState.FAILED, "embed: still no room")
    assert [b.state for b in upkeep.backlog()] == [WorkState.DEAD]

    assert upkeep.retry(job.id) == 1
    assert Jobs(catalog).get(job.id).state is JobState.RUNNING
    ledger.complete(claimed(ledger), Tally({"stored": 1}))
    assert upkeep.advance(job.id).state is JobState.DONE


def test_stages_follow_one_another_and_the_job_ends_after_the_last(
    ledger: Ledger, upkeep: Upkeep
) -> None:
    last, middle = NewWork("publish", "cpu", stage=2), NewWork("gaps", "io", stage=1)
    job = ledger.submit("default", "index", {}, [last, EMBED, middle])
    assert ledger.claim_next("a", 60, kind="publish") is None
    first = claimed(ledger)
    assert upkeep.advance(job.id).state is JobState.RUNNING
    assert ledger.claim_next("a", 60, kind="gaps") is None
    ledger.complete(first)
    assert upkeep.jobs_to_advance() == [job.id]
    upkeep.advance(job.id)
    gaps = claimed(ledger, kind="gaps")
    ledger.complete(gaps, add=[EMBED])
    upkeep.advance(job.id)
    assert ledger.claim_next("a", 60, kind="publish") is None
    ledger.complete(claimed(ledger))
    upkeep.advance(job.id)
    ledger.complete(claimed(ledger, kind="publish"))
    assert upkeep.advance(job.id).state is JobState.DONE
    assert ledger.of_job(job.id) == []
    assert upkeep.jobs_to_advance() == []


def test_a_report_replaces_what_the_piece_reported_before(
    catalog: Catalog, ledger: Ledger, upkeep: Upkeep
) -> None:
    job = ledger.submit("default", "index", {}, [NewWork("scan", "io"), EMBED])
    ledger.complete(claimed(ledger), Tally({"stored": 1, "kept": 2}, {"corrupt": 1}))
    scan = claimed(ledger, kind="scan")
    ledger.report(scan, Tally({"kept": 5}, {"unreadable": 1}, [("x", "unreadable", "y")]), total=9)
    lapse(catalog, scan)
    assert ledger.fail(upkeep.lapsed()[0], "lost", retry_in_s=0)
    with pytest.raises(LeaseLost):
        ledger.report(scan, Tally({"kept": 6}), add=[EMBED])
    again = claimed(ledger, kind="scan")
    ledger.report(again, Tally({"kept": 1}), add=[EMBED])
    found = Jobs(catalog).get(job.id)
    assert found.counts == {"stored": 1, "kept": 3}
    assert found.failures == {"corrupt": 1}
    ledger.complete(again, Tally({"kept": 5}, {"unreadable": 1}, [("x", "unreadable", "y")]))
    found = Jobs(catalog).get(job.id)
    assert found.counts == {"stored": 1, "kept": 7}
    assert found.failures == {"corrupt": 1, "unreadable": 1}
    assert found.problems == [("x", "unreadable", "y")]
    assert found.total == 9
    assert len(ledger.of_job(job.id, state=WorkState.READY)) == 1


def test_of_two_open_pieces_with_one_key_there_is_one(ledger: Ledger) -> None:
    piece = NewWork("publish", "cpu", {"space_id": 3}, key="publish:3")
    assert ledger.add([piece, piece]) == 1
    assert ledger.add([piece]) == 0
    ledger.complete(claimed(ledger, kind="publish"))
    assert ledger.add([piece]) == 1


def test_a_piece_that_was_split_is_done_by_its_parts(ledger: Ledger, upkeep: Upkeep) -> None:
    job = ledger.submit("default", "index", {}, [NewWork("embed", "gpu", images=2)])
    assert ledger.replace(claimed(ledger), [EMBED, EMBED])
    assert upkeep.advance(job.id).state is JobState.RUNNING
    for _ in range(2):
        ledger.complete(claimed(ledger), Tally({"stored": 1}))
    assert upkeep.advance(job.id).counts == {"stored": 2}


def test_uploads_go_before_a_long_index_run(ledger: Ledger) -> None:
    ledger.submit("default", "index", {}, [EMBED])
    urgent = ledger.submit("default", "uploads", {}, [NewWork("embed", "gpu", priority=1)])
    assert claimed(ledger).job_id == urgent.id


def test_a_piece_is_hinted_once_until_it_is_time_again(ledger: Ledger, upkeep: Upkeep) -> None:
    ledger.submit("default", "index", {}, [EMBED] * 3)
    assert len(upkeep.hints("gpu", limit=2, again_after_s=60)) == 2
    rest = upkeep.hints("gpu", limit=10, again_after_s=60)
    assert len(rest) == 1
    assert upkeep.hints("gpu", limit=10, again_after_s=60) == []
    upkeep.forget_hints([rest[0].work_id])
    assert upkeep.hints("gpu", limit=10, again_after_s=60) == rest
    assert len(upkeep.hints("gpu", limit=10, again_after_s=0)) == 3


def test_a_duty_is_done_by_one_of_many_and_again_when_it_is_time(catalog: Catalog) -> None:
    upkeep = Upkeep(catalog)
    with ThreadPoolExecutor(6) as pool:
        took = list(pool.map(lambda o: upkeep.take_duty("sweep", o, every_s=30), "abcdef"))
    assert sum(took) == 1
    assert not upkeep.take_duty("sweep", "a", every_s=30)
    assert upkeep.take_duty("other", "a", every_s=30)
    time.sleep(0.06)
    assert upkeep.take_duty("sweep", "b", every_s=0.05)


def test_a_job_that_is_not_there_is_an_error(upkeep: Upkeep) -> None:
    for ask in (upkeep.advance, upkeep.cancel, upkeep.retry):
        with pytest.raises(JobNotFound):
            ask(7)


def test_the_newest_request_of_each_kind_is_found(ledger: Ledger, upkeep: Upkeep) -> None:
    first = ledger.submit("default", "index", {"sources": ["a"]}, [EMBED])
    again = ledger.submit("default", "index", {"sources": ["a"]}, [EMBED])
    other = ledger.submit("default", "index", {"sources": ["b"]}, [EMBED])
    assert [job.id for job in upkeep.requests("index")] == [again.id, other.id]
    assert first.id < again.id
    assert upkeep.is_queued(first.id)


def test_a_piece_called_off_is_done_anew_when_its_job_is_retried(
    ledger: Ledger, upkeep: Upkeep
) -> None:
    job = ledger.submit("default", "index", {}, [EMBED])
    work = claimed(ledger)
    assert upkeep.cancel(job.id).state is JobState.CANCELLING
    assert ledger.call_off(work)
    assert not ledger.call_off(work)  # it is nobody's now
    assert upkeep.advance(job.id).state is JobState.CANCELLED
    assert upkeep.retry(job.id) == 1
    assert claimed(ledger).id == work.id
