"""The SQL of a filter finds what its plain meaning says, on every engine."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from likeness.catalog import Catalog
from likeness.catalog.records import Batch, ImageRow, SourceFacts, Stored
from likeness.catalog.where import Where, parse_where
from likeness.errors import WhereError
from likeness.types import ImageFacts
from tests.fakes.catalogs import make_space, sha256_of, vectors_of
from tests.fakes.filters import (
    CAMERAS,
    COLUMN_VALUES,
    COLUMNS,
    PATHS,
    PLACES,
    TIMES,
    WORDS,
    meets,
    wheres,
)

N = 150


@dataclass(frozen=True, repr=False)
class Filled:
    """A catalog of random images, its collection's id, and all its rows."""

    catalog: Catalog
    collection_id: int
    rows: list[ImageRow]


def facts(chance: random.Random) -> ImageFacts:
    make, model = chance.choice([(None, None), *CAMERAS])
    place = chance.choice([None, *PLACES])
    if place is not None and chance.random() < 0.5:
        place = (max(-90.0, min(90.0, place[0] + chance.gauss(0, 0.1))), place[1])
    return ImageFacts(
        width=chance.choice([1, 100, 640, 60_000]),
        height=chance.choice([5, 100, 480, 60_000]),
        format=chance.choice(["jpeg", "png", "tiff"]),
        taken_at=chance.choice([None, *TIMES]),
        camera_make=make,
        camera_model=model,
        lens=chance.choice([None, *WORDS]),
        latitude=None if place is None else place[0],
        longitude=None if place is None else place[1],
    )


@pytest.fixture
def filled(catalog: Catalog) -> Filled:
    chance = random.Random(7)
    space = make_space(catalog, catalog.create_collection("default"))
    items = []
    for i in range(N):
        names = chance.sample(COLUMNS, chance.randrange(len(COLUMNS)))
        fields = {name: chance.choice(COLUMN_VALUES) for name in names}
        size = chance.choice([None, 0, 5, 2**31, 2**40])
        path = chance.choice(PATHS)
        known = SourceFacts(f"file:///{i}", path, sha256_of(i), size, 1, fields)
        items.append(Stored(known, facts(chance), i))
    vectors = {space.id: vectors_of(range(N))}
    ids = catalog.commit_batch(space.collection_id, Batch(items, vectors)).stored
    for word in WORDS:
        catalog.add_tags(space.collection_id, chance.sample(ids, 12), [word])
    rows = catalog.images(space.collection_id, ids)
    return Filled(catalog, space.collection_id, [rows[i] for i in ids])


def check(filled: Filled, where: Where) -> list[int]:
    found = filled.catalog.filter_ids(filled.collection_id, where).tolist()
    assert found == [row.id for row in filled.rows if meets(where.root, row)], str(where)
    return found


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(where=wheres)
def test_sql_finds_what_the_filter_means(filled: Filled, where: Where) -> None:
    check(filled, where)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    radius_km=st.floats(0.001, 25_000),
)
def test_no_place_is_lost_at_poles_and_antimeridian(
    filled: Filled,
    latitude: float,
    longitude: float,
    radius_km: float,
) -> None:
    check(filled, parse_where(f"near:{latitude!r},{longitude!r},{radius_km!r}km"))


@pytest.mark.parametrize(
    "text",
    [
        "taken:2019",
        "taken:2018-12-31..2019-06",
        "camera:canon",
        "camera:*PIXEL*",
        'camera:"pixel 3"',
        "path:*.JPG",
        "path:ab",
        "path:ab/c.jpg",
        "path:/p/*",
        "path:*100%*",
        'path:"*(1)*"',
        "path:*\\*\\?.gif",
        "tag:ÜBER",
        "tag:u\u0308ber",
        "format:jpg",
        "has:gps -has:tags",
        "near:-16.5,180,20km",
        "pixels:>=2MP",
        "label:10",
        "label:a..b",
        "meta.width:..10",
        '"odd name":>9',
        "id:..10",
        "-(width:100 OR height:100)",
    ],
)
def test_examples_find_something_and_not_everything(filled: Filled, text: str) -> None:
    assert 0 < len(check(filled, parse_where(text))) < N


def test_images_added_today_are_found_by_the_day(
    filled: Filled,
) -> None:
    catalog, collection_id, rows = filled.catalog, filled.collection_id, filled.rows
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    today = parse_where(f"added:{yesterday}..{tomorrow}")
    assert len(catalog.filter_ids(collection_id, today)) == len(rows)
    assert len(catalog.filter_ids(collection_id, parse_where(f"added:>{tomorrow}"))) == 0


def test_lists_take_filters_too(filled: Filled) -> None:
    catalog, collection_id, rows = filled.catalog, filled.collection_id, filled.rows
    where = parse_where("width:640")
    expected = [row.id for row in rows if meets(where.root, row)]
    first = catalog.list_images(collection_id, where=where, limit=3)
    rest = catalog.list_images(collection_id, where=where, after_id=first[-1].id)
    assert [row.id for row in (*first, *rest)] == expected


def test_an_unknown_field_is_an_error_that_lists_the_known_ones(
    filled: Filled,
) -> None:
    with pytest.raises(WhereError) as caught:
        filled.catalog.filter_ids(filled.collection_id, parse_where("width:5 labl:cat"))
    assert caught.value.position == 8
    assert "did you mean label?" in str(caught.value)
    assert "columns of this collection: label, meta.x, odd name, price, width" in str(caught.value)


def test_the_largest_filter_runs(filled: Filled) -> None:
    deep = "-(" * 25 + "width:640" + ")" * 25
    wide = " OR ".join(f"label:*{i}*" for i in range(200))
    check(filled, parse_where(deep))
    check(filled, parse_where(wide))
