"""API keys and jobs as rows, on every engine."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Stored
from likeness.catalog.serving.facets import facets
from likeness.catalog.serving.jobs import Jobs, JobState
from likeness.catalog.serving.keys import ApiKeys, Scope
from likeness.catalog.where import parse_where
from likeness.errors import InputError, JobNotFound, KeyNotFound
from likeness.types import ImageFacts
from tests.fakes.catalogs import make_space


def test_a_key_opens_until_it_is_revoked_and_its_secret_is_not_kept(catalog: Catalog) -> None:
    keys = ApiKeys(catalog)
    assert not keys.any_valid()
    kept, presented = keys.create("laptop", Scope.WRITE)
    assert keys.verify(presented) == kept
    assert keys.any_valid()
    assert keys.all() == [kept]
    with catalog.engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM api_keys").all()
    assert presented.rpartition("_")[2] not in repr(stored)
    assert keys.revoke(kept.public_id).revoked_at is not None
    assert keys.verify(presented) is None
    assert not keys.any_valid()
    with pytest.raises(KeyNotFound):
        keys.revoke("000000000000")


def test_what_is_not_a_key_opens_nothing(catalog: Catalog) -> None:
    keys = ApiKeys(catalog)
    kept, presented = keys.create("laptop", Scope.READ)
    other, _ = keys.create("phone", Scope.ADMIN)
    secret = presented.removeprefix(f"lk_{kept.public_id}_")
    wrong = [
        "",
        "lk_",
        presented[:-1],
        presented + "x",
        presented.upper(),
        f"lk_{other.public_id}_{secret}",
        f"lk_{kept.public_id}_{'A' * 43}",
        f"lk_{'0' * 12}_{secret}",
        "\x00",
    ]
    assert [keys.verify(text) for text in wrong] == [None] * len(wrong)
    with pytest.raises(InputError):
        keys.create("  ", Scope.READ)


def test_a_scope_covers_those_below_it() -> None:
    covered = {(a, b) for a in Scope for b in Scope if a.covers(b)}
    assert covered == {
        (Scope.READ, Scope.READ),
        (Scope.WRITE, Scope.READ),
        (Scope.WRITE, Scope.WRITE),
        *((Scope.ADMIN, scope) for scope in Scope),
    }


def test_a_job_tells_its_story(catalog: Catalog) -> None:
    jobs = Jobs(catalog)
    job = jobs.create("default", "urls", {"urls": ["https://example.org/a.jpg"]}, total=4)
    assert (job.state, job.rate, job.seconds_left) == (JobState.QUEUED, None, None)
    assert jobs.start(job.id)
    assert not jobs.start(job.id), "only one worker takes it"
    state = jobs.report(job.id, counts={"stored": 1, "failed": 1}, failures={"corrupt": 1})
    assert state is JobState.RUNNING
    half = jobs.get(job.id)
    assert half.settled == 2
    assert half.rate is not None
    assert half.seconds_left is not None
    assert jobs.finish(job.id, JobState.DONE)
    assert not jobs.finish(job.id, JobState.FAILED, "too late")
    done = jobs.get(job.id)
    assert (done.state, done.seconds_left, done.failures) == (JobState.DONE, 0.0, {"corrupt": 1})
    assert done.request == {"urls": ["https://example.org/a.jpg"]}
    newest = jobs.create("default", "urls", {})
    assert [found.id for found in jobs.recent()] == [newest.id, job.id]
    assert [found.id for found in jobs.recent(before_id=newest.id)] == [job.id]
    with pytest.raises(JobNotFound):
        jobs.get(newest.id + 1)


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(
    catalog: Catalog,
) -> None:
    jobs = Jobs(catalog)
    queued, running = jobs.create("default", "urls", {}), jobs.create("default", "urls", {})
    jobs.start(running.id)
    assert jobs.cancel(queued.id).state is JobState.CANCELLED
    assert not jobs.start(queued.id)
    assert jobs.cancel(running.id).state is JobState.CANCELLING
    assert jobs.report(running.id, counts={}, failures={}) is JobState.CANCELLING
    jobs.finish(running.id, JobState.CANCELLED)
    assert jobs.cancel(running.id).state is JobState.CANCELLED


def test_facets_count_what_their_filters_find(catalog: Catalog) -> None:
    collection = catalog.create_collection("default")
    space = make_space(catalog, collection)
    cameras = [("Canon", "EOS 5D"), ("Google", 'Pixel "3"*'), (None, None)]
    items = [
        Stored(
            SourceFacts(f"file:///{n}", f"/photos/{'trip' if n % 3 else 'a*b'}/in {n % 2}/{n}.jpg",
                        f"{n:064x}"),
            ImageFacts(
                1000 * (1 + n % 5), 1000, "jpeg" if n % 2 else "png",
                taken_at=datetime(2018 + n % 3, 6, 1) if n % 4 else None,
                camera_make=cameras[n % 3][0], camera_model=cameras[n % 3][1],
                latitude=48.2 + n / 1000 if n % 5 else None, longitude=16.4 if n % 5 else None,
            ),
            0,
        )
        for n in range(40)
    ]  # fmt: skip
    rows = np.eye(1, space.dim, dtype=np.float16)
    done = catalog.commit_batch(collection.id, Batch(items, {space.id: rows}))
    catalog.add_tags(collection.id, done.stored[:7], ['holiday (old) "x"', "b"])
    catalog.add_tags(collection.id, done.stored[7:9], ["B"])
    catalog.mark_gone(collection.id, done.stored[-3:])
    found = {facet.name: facet.values for facet in facets(catalog, collection.id)}
    assert set(found) == {"taken", "camera", "place", "folder", "size", "format", "tag"}
    for name, values in found.items():
        for value in values:
            left = len(catalog.filter_ids(collection.id, parse_where(value.where)))
            assert left == value.count, (name, value)
    assert [value.label for value in found["taken"]] == ["2020", "2019", "2018"]
    assert found["folder"][0].label == "/photos"
    assert ("b", 9) in [(value.label.lower(), value.count) for value in found["tag"]]
    assert facets(catalog, catalog.create_collection("empty").id) == []
    where = 'taken:>=2019 tag:b path:"/photos/trip/*"'
    narrowed = {f.name: f.values for f in facets(catalog, collection.id, parse_where(where))}
    assert {"taken", "camera", "tag"} <= set(narrowed)
    for name, values in narrowed.items():
        for value in values:
            both = parse_where(f"{where} ({value.where})")
            assert len(catalog.filter_ids(collection.id, both)) == value.count, (name, value)
    assert facets(catalog, collection.id, parse_where("width:1")) == []
