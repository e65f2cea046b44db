"""Every vector re-ranker against a slow reference that follows its paper line by line."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness.errors import QueryError
from search.rerank.diffusion import Diffusion, steady_state
from search.rerank.diversity import Diversity
from search.rerank.expansion import DatabaseAugmentation, QueryExpansion
from search.rerank.interface import Context, Shortlist, shortlist, unit
from search.rerank.reciprocal import KReciprocal
from search.rerank.registry import RERANKERS, find_reranker, needs_pixels, parse_chain, rerank

Array = npt.NDArray[np.float32]
VECTOR_RERANKERS = [record for record in RERANKERS if not record.needs_pixels]
NOTHING = Context()


def clustered(k: int, d: int = 24, seed: int = 0, dtype: type = np.float32) -> Shortlist:
    """k candidates in five clusters; the query belongs to the first."""
    random = np.random.default_rng(seed)
    centres = unit(random.standard_normal((5, d)))
    points = unit(centres[random.integers(5, size=k)] + 0.25 * random.standard_normal((k, d)))
    query = centres[0] + 0.25 * random.standard_normal(d)
    ids = random.permutation(1000)[:k].astype(np.int64)
    return shortlist(query.astype(np.float32), ids, points.astype(dtype))


def scores_by_id(result: Shortlist) -> dict[int, float]:
    return dict(zip(result.ids.tolist(), result.scores.tolist(), strict=True))


def assert_scores(result: Shortlist, expected: dict[int, float], tolerance: float = 2e-5) -> None:
    found = scores_by_id(result)
    assert found.keys() == expected.keys()
    for image_id, score in expected.items():
        assert found[image_id] == pytest.approx(score, abs=tolerance)


def test_query_expansion_is_the_weighted_mean_of_the_paper() -> None:
    given_list = clustered(40)
    q = given_list.query.astype(np.float64)
    total = q.copy()
    for i in range(7):
        x = given_list.vectors[i].astype(np.float64)
        total += max(float(q @ x), 0.0) ** 2.5 * x
    total /= np.linalg.norm(total)
    expected = {
        int(i): float(x @ total) for i, x in zip(given_list.ids, given_list.vectors, strict=True)
    }
    result = QueryExpansion(neighbours=7, alpha=2.5)(given_list, NOTHING)
    assert_scores(result, expected)
    assert result.query == pytest.approx(total, abs=1e-5)


def test_database_augmentation_averages_each_candidate_with_its_nearest() -> None:
    given_list = clustered(30)
    expected = {}
    for image_id, x in zip(given_list.ids, given_list.vectors, strict=True):
        cosines = [float(x @ y) for y in given_list.vectors]
        nearest = sorted(range(30), key=lambda j: -cosines[j])[:5]
        mean = sum(max(cosines[j], 0.0) ** 3 * given_list.vectors[j] for j in nearest)
        expected[int(image_id)] = float(mean @ given_list.query / np.linalg.norm(mean))
    assert_scores(DatabaseAugmentation(neighbours=4)(given_list, NOTHING), expected)


def reciprocal_reference(given_list: Shortlist, k1: int, k2: int, weight: float) -> Array:
    """Sets and loops, as in the paper; final distances of the candidates."""
    points = np.vstack([given_list.query, given_list.vectors]).astype(np.float64)
    n = len(points)
    squared = np.array([[max(2 - 2 * float(a @ b), 0.0) for b in points] for a in points])
    distance = squared / squared.max(axis=1, keepdims=True)
    rank = [[i, *(j for j in np.argsort(squared[i], kind="stable") if j != i)] for i in range(n)]

    def nearest(i: int, k: int) -> set[int]:
        return set(rank[i][: k + 1])

    def mutual(i: int, k: int) -> set[int]:
        return {j for j in nearest(i, k) if i in nearest(j, k)}

    membership = np.zeros((n, n))
    for i in range(n):
        expanded = set(mutual(i, k1))
        for j in mutual(i, k1):
            other = mutual(j, (k1 + 1) // 2)
            if len(mutual(i, k1) & other) >= 2 / 3 * len(other):
                expanded |= other
        for j in expanded:
            membership[i, j] = np.exp(-distance[i, j])
        membership[i] /= membership[i].sum()
    averaged = np.array([membership[sorted(nearest(i, k2))].mean(axis=0) for i in range(n)])
    final = np.empty(n - 1)
    for i in range(1, n):
        low = np.minimum(averaged[0], averaged[i]).sum()
        high = np.maximum(averaged[0], averaged[i]).sum()
        final[i - 1] = (1 - weight) * (1 - low / high) + weight * distance[0, i]
    return final.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_k_reciprocal_encoding_equals_sets_and_loops(seed: int) -> None:
    given_list = clustered(45, seed=seed)
    final = reciprocal_reference(given_list, k1=9, k2=3, weight=0.3)
    expected = dict(zip(given_list.ids.tolist(), (1 - final).tolist(), strict=True))
    assert_scores(KReciprocal(k1=9, k2=3)(given_list, NOTHING), expected, 1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_diffusion_equals_the_inverse_of_the_paper(seed: int) -> None:
    given_list = clustered(50, seed=seed)
    method = Diffusion(neighbours=8, query_neighbours=5, alpha=0.95, tolerance=1e-7)
    n = len(given_list)
    points = np.vstack([given_list.query, given_list.vectors]).astype(np.float64)
    cosines = points @ points.T
    near = [
        {j for j in [i, *(m for m in np.argsort(-cosines[i]) if m != i)][:9] if j != i}
        for i in range(n + 1)
    ]
    affinity = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if j + 1 in near[i + 1] and i + 1 in near[j + 1]:
                affinity[i, j] = max(cosines[i + 1, j + 1], 0) ** 3
    start = np.zeros(n)
    for j in np.argsort(-cosines[0, 1:])[:5]:
        start[j] = max(cosines[0, j + 1], 0) ** 3
    degree = affinity.sum(axis=1)
    scaling = np.diag([d**-0.5 if d > 0 else 0.0 for d in degree])
    f = np.linalg.inv(np.eye(n) - 0.95 * scaling @ affinity @ scaling) @ (0.05 * start)
    expected = {
        int(given_list.ids[i]): f[i] / f.max() if f[i] / f.max() > 1e-6 else cosines[0, i + 1] - 2
        for i in range(n)
    }
    assert_scores(method(given_list, NOTHING), expected, 1e-4)


def test_conjugate_gradients_find_the_steady_state_of_a_large_graph() -> None:
    random = np.random.default_rng(3)
    affinity = np.triu(random.random((300, 300)) * (random.random((300, 300)) < 0.05), 1)
    affinity = (affinity + affinity.T).astype(np.float32)
    start = random.random(300).astype(np.float32)
    degree = affinity.sum(axis=1)
    scaling = np.diag(1 / np.sqrt(np.maximum(degree, 1e-12)))
    direct = np.linalg.solve(np.eye(300) - 0.9 * scaling @ affinity @ scaling, 0.1 * start)
    found = steady_state(affinity, start, 0.9, tolerance=1e-6, iterations=100)
    assert found == pytest.approx(direct, abs=1e-5)


def test_maximal_marginal_relevance_equals_the_greedy_loop() -> None:
    given_list = clustered(25)
    chosen: list[int] = []
    scores = {}
    while len(chosen) < 25:
        margins = {}
        for j in range(25):
            if j in chosen:
                continue
            x = given_list.vectors[j]
            nearest = max((float(x @ given_list.vectors[i]) for i in chosen), default=-1.0)
            margins[j] = 0.6 * float(given_list.scores[j]) - 0.4 * nearest
        best = max(margins, key=lambda j: margins[j])
        scores[int(given_list.ids[best])] = margins[best]
        chosen.append(best)
    result = Diversity(relevance=0.6)(given_list, NOTHING)
    assert result.ids.tolist() == [int(given_list.ids[j]) for j in chosen]
    assert_scores(result, scores)


def test_diversity_shows_a_second_cluster_early_when_copies_crowd_the_top() -> None:
    copies = np.tile([[0.9, 0.436, 0]], (10, 1)) + 0.001 * np.eye(10, 3)
    other = np.array([[0.8, -0.6, 0]])
    found = shortlist(np.array([1.0, 0, 0]), np.arange(11), np.vstack([copies, other]))
    assert found.ids.tolist().index(10) == 10
    assert Diversity()(found, NOTHING).ids.tolist().index(10) == 1


def test_diversity_keeps_the_order_of_an_earlier_reranker_when_relevance_is_all() -> None:
    reranked = KReciprocal()(clustered(30), NOTHING)
    assert Diversity(relevance=1.0)(reranked, NOTHING).ids.tolist() == reranked.ids.tolist()


@pytest.mark.parametrize("record", VECTOR_RERANKERS, ids=lambda record: record.name)
@pytest.mark.parametrize("k", [0, 1, 2, 3, 60])
def test_every_id_comes_back_once_and_scores_never_increase(record, k: int) -> None:
    given_list = clustered(k, dtype=np.float16)
    before = (given_list.ids.copy(), given_list.scores.copy(), given_list.vectors.copy())
    result = record.reranker(given_list, NOTHING)
    assert sorted(result.ids.tolist()) == sorted(given_list.ids.tolist())
    assert np.isfinite(result.scores).all()
    assert (np.diff(result.scores) <= 0).all()
    for array, kept in zip(
        (given_list.ids, given_list.scores, given_list.vectors), before, strict=True
    ):
        assert (array == kept).all(), "an argument was changed"


@pytest.mark.parametrize("record", VECTOR_RERANKERS, ids=lambda record: record.name)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 30))
def test_degenerate_shortlists_give_finite_scores(record, seed: int, k: int) -> None:
    """Repeated, opposite and zero vectors, all at once."""
    random = np.random.default_rng(seed)
    points = random.choice([-1.0, 0.0, 1.0], size=(k, 3)).astype(np.float32)
    result = record.reranker(shortlist(np.array([1.0, 0, 0]), np.arange(k), points), NOTHING)
    assert sorted(result.ids.tolist()) == list(range(k))
    assert np.isfinite(result.scores).all()


def test_a_chain_applies_its_rerankers_in_order_and_hands_on_the_expanded_query() -> None:
    given_list = clustered(40)
    by_hand = KReciprocal()(QueryExpansion()(given_list, NOTHING), NOTHING)
    chained = rerank(given_list, parse_chain("qe, kreciprocal"), NOTHING)
    assert chained.ids.tolist() == by_hand.ids.tolist()
    assert (chained.query == by_hand.query).all()


@pytest.mark.parametrize("text", ["", "none", " none "])
def test_none_is_the_empty_chain(text: str) -> None:
    assert parse_chain(text) == ()
    given_list = clustered(10)
    assert rerank(given_list, (), NOTHING) is given_list


def test_an_unknown_reranker_is_named_with_the_ones_there_are() -> None:
    with pytest.raises(QueryError, match="'kreciprocl'; did you mean kreciprocal"):
        parse_chain("qe,kreciprocl")
    with pytest.raises(QueryError, match="twice"):
        parse_chain("qe,qe")


def test_only_the_patch_reranker_needs_pixels_and_says_so_without_them() -> None:
    assert needs_pixels(["qe", "patches"])
    assert not needs_pixels(["qe", "kreciprocal", "diffusion", "dba", "mmr"])
    with pytest.raises(QueryError, match="needs an image"):
        rerank(clustered(5), ["patches"], NOTHING)


def test_every_reranker_names_its_paper_with_a_year() -> None:
    for record in RERANKERS:
        assert find_reranker(record.name) is record
        assert any(str(year) in record.paper for year in range(1990, 2027))


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(QueryError, match="do not belong together"):
        shortlist(np.ones(3), np.arange(4), np.ones((4, 2)))
