"""Requests that cannot be asked, and the space that answers those that can."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.catalog.records import Space, SpaceState
from likeness.errors import ImageNotFound, NoTextTower, QueryError, SpaceMismatch
from likeness.types import Tower
from likeness.vectors.exact import ExactIndex
from search.compose import compose
from search.request import (
    NEGATIVE_WEIGHT,
    IdTerm,
    ImageTerm,
    SearchRequest,
    Term,
    TextTerm,
    VectorTerm,
)
from search.route import choose_space
from search.view import NOBODY, View
from tests.fakes.encoder import FakeEncoder
from tests.fakes.vectors import unit_vectors

PICTURE = ImageTerm(np.zeros((2, 2, 3), np.uint8))
WORDS = TextTerm("a cat")


def space(number: int, *towers: Tower, state: SpaceState = SpaceState.ACTIVE) -> Space:
    return Space(number, 1, f"e{number}", f"{number}" * 16, 49, frozenset(towers), state)


LOOK = space(1, Tower.IMAGE)
TWO = space(2, Tower.IMAGE, Tower.TEXT)
FILLING = space(3, Tower.IMAGE, Tower.TEXT, state=SpaceState.FILLING)


@pytest.mark.parametrize(
    ("terms", "options", "said"),
    [
        ((), {}, "nothing to look for"),
        ((WORDS,), {"k": 0}, "k is 0"),
        ((WORDS,), {"offset": -1}, "offset -1"),
        ((TextTerm("  "),), {}, "words to look for are empty"),
        ((TextTerm("cat", 0.0),), {}, "weight of 'cat' is 0"),
        ((IdTerm(7, float("nan")),), {}, "weight of image 7 is nan"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    terms: tuple[Term, ...], options: dict[str, int], said: str
) -> None:
    with pytest.raises(QueryError, match=said):
        SearchRequest(terms, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "asked", "expected"),
    [
        ((WORDS,), None, TWO),
        ((PICTURE,), None, LOOK),
        ((IdTerm(1),), None, LOOK),
        ((WORDS, PICTURE), None, TWO),
        ((PICTURE,), "e2", TWO),
        ((PICTURE,), "22222222", TWO),
        ((VectorTerm(np.ones(49), "2" * 16),), None, TWO),
        ((WORDS,), "e3", FILLING),
    ],
)
def test_each_query_has_its_space(
    terms: tuple[Term, ...], asked: str | None, expected: Space
) -> None:
    request = SearchRequest(terms, space=asked)
    assert choose_space(request, "c", [LOOK, TWO, FILLING]) == expected


def test_a_space_that_is_being_filled_does_not_answer_by_itself() -> None:
    with pytest.raises(QueryError, match="no embeddings"):
        choose_space(SearchRequest((WORDS,)), "c", [FILLING])
    with pytest.raises(NoTextTower):
        choose_space(SearchRequest((WORDS,)), "c", [LOOK, FILLING])


def test_vectors_of_another_encoder_are_refused() -> None:
    request = SearchRequest((VectorTerm(np.ones(49), "9" * 16),))
    with pytest.raises(SpaceMismatch, match=r"999999999999.*e1 \(111111111111\)"):
        choose_space(request, "c", [LOOK, TWO])


# ------------------------------------------------------------------ composing

ENCODER = FakeEncoder()
STORED = unit_vectors(3, 49, 0)
VIEW = View(
    ExactIndex(np.array([5, 6, 7]), STORED),
    ExactIndex(np.empty(0, np.int64), np.empty((0, 49), np.float16)),
    NOBODY,
    1,
    None,
)


def composed(*requests: SearchRequest) -> np.ndarray:
    def load_image(data: bytes, name: str) -> np.ndarray:
        raise AssertionError("nothing to load")

    return compose(requests, TWO, "c", VIEW, lambda: ENCODER, load_image)


def test_a_query_is_the_weighted_sum_of_unit_vectors_at_unit_length() -> None:
    loud = STORED[1].astype(np.float32) * 40
    request = SearchRequest((TextTerm("red", 2.0), IdTerm(5, NEGATIVE_WEIGHT), VectorTerm(loud)))
    text = ENCODER.embed_texts(["red"])[0].astype(np.float64)
    rows = STORED[:2].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = 2 * text - 0.5 * rows[0] + rows[1]
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(composed(request)[0], expected, atol=1e-6)


def test_one_term_is_asked_as_it_is_whatever_its_weight() -> None:
    one, two = (composed(SearchRequest((TextTerm("red", weight),)))[0] for weight in (1.0, 3.0))
    np.testing.assert_allclose(one, two, atol=1e-7)


def test_an_encoder_is_not_loaded_for_stored_images() -> None:
    def no_encoder() -> FakeEncoder:
        raise AssertionError("there is nothing to encode")

    request = SearchRequest((IdTerm(6),))
    query = compose([request], TWO, "c", VIEW, no_encoder, lambda *_: PICTURE.image)
    np.testing.assert_allclose(query[0], STORED[1].astype(np.float32), atol=1e-3)


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(ImageNotFound, match="no image 8 in collection 'c'"):
        composed(SearchRequest((IdTerm(8),)))


def test_terms_that_cancel_out_are_named() -> None:
    with pytest.raises(QueryError, match=r"'red' × 1, 'red' × -1"):
        composed(SearchRequest((TextTerm("red"), TextTerm("red", -1.0))))
