"""What becomes of work that went wrong: tried again, cut up until the culprit stands alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from likeness.catalog import Catalog
from likeness.catalog.serving.jobs import Job, Jobs
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import NewWork, Work, WorkState
from likeness.settings import Settings, load_settings
from likeness.types import ImageState
from workers.kinds import EMBED, GPU, IO, SCAN
from workers.recovery import CUT_AFTER, LOST, LOST_CODE, Recovery


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, queue_attempts=4, queue_backoff_s=0.0)


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    with Catalog.open(settings.catalog_url) as opened:
        opened.create_collection("default")
        yield opened


def items(count: int) -> list[list[Any]]:
    return [[f"file:///{n}.jpg", f"/{n}.jpg", 10, 20, {}] for n in range(count)]


def submit(catalog: Catalog, *pieces: NewWork) -> Job:
    return Ledger(catalog).submit("default", "index", {}, pieces)


def embed(count: int, **payload: Any) -> NewWork:
    return NewWork(EMBED, GPU, {"items": items(count), **payload}, images=count)


def claim(catalog: Catalog, kind: str = EMBED) -> Work | None:
    return Ledger(catalog).claim_next("me", 60, kind=kind)


def wreck(catalog: Catalog, settings: Settings, culprit: str) -> tuple[int, int]:
    """Do all that is ready: pieces that hold the culprit kill their worker, others are done.

    Returns the claims made and the images done.
    """
    ledger, claims, done = Ledger(catalog), 0, 0
    while (work := claim(catalog)) is not None:
        claims += 1
        uris = [item[0] for item in work.payload["items"]]
        if culprit in uris:
            Recovery(catalog, settings).recover(work, LOST)
        else:
            ledger.complete(work)
            done += len(uris)
    return claims, done


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 64, 256])
def test_one_image_that_kills_workers_is_listed_alone_and_all_others_are_done(
    catalog: Catalog, settings: Settings, count: int
) -> None:
    job = submit(catalog, embed(count))
    claims, done = wreck(catalog, settings, items(count)[count // 2][0])
    assert done == count - 1
    assert claims <= 3 * 8 + 8
    collection = catalog.collection("default")
    (failed,) = catalog.list_images(collection.id, state=ImageState.FAILED)
    assert (failed.path, failed.reason_code) == (f"/{count // 2}.jpg", LOST_CODE)
    assert "attempts" in (failed.message or "")
    job = Upkeep(catalog).advance(job.id)
    assert (job.state, job.failures) == ("done", {LOST_CODE: 1})


def test_a_piece_is_tried_again_whole_before_it_is_cut(
    catalog: Catalog, settings: Settings
) -> None:
    submit(catalog, embed(16))
    sizes = []
    for _ in range(CUT_AFTER + 1):
        work = claim(catalog)
        assert work is not None
        sizes.append(len(work.payload["items"]))
        Recovery(catalog, settings).recover(work, LOST)
    assert sizes == [16, 16, 2]


def test_parts_keep_the_options_of_their_piece_and_are_suspect(
    catalog: Catalog, settings: Settings
) -> None:
    submit(catalog, embed(16, restore=True))
    for _ in range(CUT_AFTER):
        work = claim(catalog)
        assert work is not None
        Recovery(catalog, settings).recover(work, LOST)
    part = claim(catalog)
    assert part is not None
    assert part.payload["restore"] is True
    assert part.payload["suspect"] is True


def test_surroundings_at_fault_blame_no_image_and_end_dead_with_the_reason(
    catalog: Catalog, settings: Settings
) -> None:
    job = submit(catalog, embed(16))
    attempts = 0
    while (work := claim(catalog)) is not None:
        attempts += 1
        assert len(work.payload["items"]) == 16
        Recovery(catalog, settings).recover(work, "the disk is full", blameless=True)
    assert attempts == settings.queue_attempts
    job = Upkeep(catalog).advance(job.id)
    assert (job.state, job.failures) == ("failed", {})
    assert "the disk is full" in (job.message or "")
    assert catalog.counts(catalog.collection("default").id).failed == 0


def test_a_person_may_try_dead_work_again(catalog: Catalog, settings: Settings) -> None:
    job = submit(catalog, NewWork(SCAN, IO))
    while (work := claim(catalog, SCAN)) is not None:
        Recovery(catalog, settings).recover(work, "no such share")
    assert Upkeep(catalog).advance(job.id).state == "failed"
    assert Upkeep(catalog).retry(job.id) == 1
    work = claim(catalog, SCAN)
    assert work is not None
    assert work.attempts == 1
    Ledger(catalog).complete(work)
    assert Upkeep(catalog).advance(job.id).state == "done"


def test_retries_are_later_and_later_up_to_five_minutes(
    catalog: Catalog, settings: Settings
) -> None:
    recovery = Recovery(catalog, settings.model_copy(update={"queue_backoff_s": 2.0}))
    submit(catalog, embed(1))
    work = claim(catalog)
    assert work is not None
    waits = [recovery._backoff_s(_at(work, attempts)) for attempts in range(1, 12)]
    assert waits[:4] == [2.0, 4.0, 8.0, 16.0]
    assert waits == sorted(waits)
    assert waits[-1] == 300.0


def test_what_another_has_taken_over_is_left_to_it(catalog: Catalog, settings: Settings) -> None:
    job = submit(catalog, embed(1))
    stale = claim(catalog)
    assert stale is not None
    Ledger(catalog).give_back(stale)
    current = claim(catalog)
    assert current is not None
    Recovery(catalog, settings).recover(_at(stale, 99), LOST)
    row = Ledger(catalog).get(current.id)
    assert row is not None
    assert row.state is WorkState.LEASED
    assert catalog.counts(catalog.collection("default").id).failed == 0
    assert Jobs(catalog).get(job.id).failures == {}


def _at(work: Work, attempts: int) -> Work:
    return Work(
        work.id, work.job_id, work.kind, work.queue, work.stage, work.priority, work.images,
        work.state, attempts, work.owner, work.lease_until, work.reason, work.packed,
    )  # fmt: skip
