"""The fixtures keep their promises."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import psycopg
import pytest
from PIL import Image

from likeness.errors import NoTextTower
from likeness.types import Tower
from tests.fakes.encoder import COLOURS, FakeEncoder
from tests.fakes.pictures import draw_pixels


def test_pictures_are_twelve_readable_files_that_differ(pictures: Path) -> None:
    paths = sorted(p for p in pictures.rglob("*") if p.is_file())
    assert len(paths) == 12
    assert sum(p.parent.name == "more" for p in paths) == 2
    contents = {path.read_bytes() for path in paths}
    assert len(contents) == 12
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (64, 48)


def test_the_same_seed_draws_the_same_pixels() -> None:
    assert np.array_equal(draw_pixels(3), draw_pixels(3))
    assert not np.array_equal(draw_pixels(3), draw_pixels(4))


def test_no_test_sees_the_users_home_or_reaches_a_hub() -> None:
    assert "no-home" in os.environ["LIKENESS_HOME"]
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.services
def test_each_test_gets_an_empty_postgresql_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchone()
    assert tables == (0,)


def test_the_fake_encoder_finds_a_picture_by_its_colour_and_by_itself() -> None:
    encoder = FakeEncoder()
    filled = [np.full((40, 60, 3), colour, np.uint8) for colour in COLOURS.values()]
    images = encoder.embed(filled)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    words = encoder.embed_texts([f"a {name} picture" for name in COLOURS])
    assert (words @ images.T).argmax(axis=1).tolist() == list(range(len(COLOURS)))
    assert encoder.prepared == len(COLOURS)


def test_fake_encoders_of_two_seeds_make_two_spaces() -> None:
    one, other = FakeEncoder(seed=0), FakeEncoder(seed=1)
    image = [draw_pixels(1)]
    assert one.fingerprint != other.fingerprint
    assert not np.allclose(one.embed(image), other.embed(image))


def test_the_fake_encoder_without_a_text_tower_refuses_words() -> None:
    with pytest.raises(NoTextTower):
        FakeEncoder(towers=frozenset({Tower.IMAGE})).embed_texts(["red"])
