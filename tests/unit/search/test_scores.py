"""p means what it says: among queries without a match, a fraction p gets a best hit that good."""

from __future__ import annotations

import numpy as np
import pytest

from search.rerank.interface import unit
from search.scores import (
    FEWEST,
    SAMPLE,
    fit_false_matches,
    fit_gumbel,
    sample_positions,
)


def cloud(n: int, d: int, seed: int, *, lean: float = 0.6) -> np.ndarray:
    """Unrelated unit vectors that share a direction, as embeddings do."""
    random = np.random.default_rng(seed)
    return unit(random.standard_normal((n, d)) / np.sqrt(d) + lean * np.eye(1, d))


def best_hits(queries: np.ndarray, collection: np.ndarray) -> np.ndarray:
    return (queries @ collection.T).max(axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d"), [(400, 192), (2000, 192), (8000, 128)])
def test_the_share_of_false_hits_under_the_cut_is_about_the_one_asked_for(n: int, d: int) -> None:
    """8,000 images: the law is carried from a sample of 2,000."""
    collection = cloud(n, d, 1)
    model = fit_false_matches(collection[sample_positions(n)])
    assert model is not None
    queries = cloud(4000, d, 2)
    chances = model.chance(queries, best_hits(queries, collection), n)[:, 0]
    assert 0.001 <= (chances <= 0.01).mean() <= 0.02
    assert 0.05 <= (chances <= 0.1).mean() <= 0.15
    assert 0.35 <= (chances <= 0.5).mean() <= 0.65


def test_copies_in_the_collection_hardly_move_the_cut() -> None:
    collection = cloud(1000, 192, 1)
    copies = unit(collection[:100] + 0.02 * cloud(100, 192, 3))
    spoiled = np.vstack([collection[:900], copies])  # 100 pairs: a fifth of all have a copy
    spoiled = spoiled[sample_positions(1000)]
    clean, dirty = fit_false_matches(collection), fit_false_matches(spoiled)
    assert clean is not None
    assert dirty is not None
    queries = cloud(2000, 192, 2)
    hits = best_hits(queries, collection)
    for model in (clean, dirty):
        assert (model.chance(queries, hits, 1000) <= 0.05).mean() <= 0.08
    copied = unit(collection[500:700] + 0.1 * cloud(200, 192, 4))
    found = dirty.chance(copied, best_hits(copied, collection), 1000)
    assert (found <= 0.01).mean() > 0.95


def test_a_cut_works_the_same_under_an_encoder_with_another_scale() -> None:
    shares = []
    for lean in (0.0, 2.0):
        collection, queries = cloud(1500, 32, 1, lean=lean), cloud(3000, 32, 2, lean=lean)
        model = fit_false_matches(collection)
        assert model is not None
        shares.append((model.chance(queries, best_hits(queries, collection), 1500) <= 0.05).mean())
    assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_p_falls_with_the_cosine_and_rises_with_the_number_of_images_searched() -> None:
    model = fit_false_matches(cloud(200, 16, 1))
    assert model is not None
    query = cloud(1, 16, 9)
    chances = model.chance(query, np.linspace(-1, 1, 50, dtype=np.float32)[np.newaxis], 200)[0]
    assert (np.diff(chances) <= 0).all()
    assert 0 <= chances.min() <= chances.max() <= 1
    cosine = np.array([[0.9]], dtype=np.float32)
    few, many = model.chance(query, cosine, 200), model.chance(query, cosine, 200_000)
    assert many > few


def test_the_least_cosine_is_where_p_is_what_was_asked() -> None:
    model = fit_false_matches(cloud(400, 32, 1))
    assert model is not None
    queries = cloud(6, 32, 5)
    for max_false in (0.001, 0.01, 0.5):
        floor = model.least_cosine(queries, max_false, 1000)
        at_floor = model.chance(queries, floor[:, np.newaxis], 1000)
        assert at_floor == pytest.approx(max_false, rel=1e-3)


def test_a_handful_of_images_and_images_all_alike_have_no_distribution() -> None:
    assert fit_false_matches(cloud(FEWEST - 1, 8, 1)) is None
    assert fit_false_matches(np.tile(cloud(1, 8, 1), (100, 1))) is None


def test_the_probability_plot_finds_the_law_with_a_spoiled_tail() -> None:
    random = np.random.default_rng(0)
    values = random.gumbel(3.0, 0.5, size=5000)
    values[:150] += 20
    location, scale = fit_gumbel(values, 0.75)
    assert location == pytest.approx(3.0, abs=0.06)
    assert scale == pytest.approx(0.5, abs=0.06)


def test_the_sample_is_spread_evenly_and_never_larger_than_it_should_be() -> None:
    assert sample_positions(0).tolist() in ([], [0])
    assert sample_positions(3).tolist() == [0, 1, 2]
    assert len(sample_positions(400)) == 400
    assert len(sample_positions(1200)) == 600
    large = sample_positions(1_000_000)
    assert len(large) == SAMPLE
    assert large[0] == 0
    assert large[-1] == 999_999
    assert np.diff(large).max() <= 502
