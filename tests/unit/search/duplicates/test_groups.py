"""Groups are bounded by diameter, never chained, and the same from run to run."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from search.duplicates.groups import group_pairs


def grouped(edges: set[tuple[int, int]], place: dict[int, int] | None = None) -> list[list[int]]:
    rows = {row for edge in edges for row in edge}
    pairs = [(a, b, 1.0 - 0.001 * (a + b)) for a, b in sorted(edges)]
    return group_pairs(pairs, place or {row: row for row in rows}, lambda a, b: False)


def test_a_chain_is_not_one_group() -> None:
    groups = grouped({(row, row + 1) for row in range(20)})
    assert all(len(group) <= 3 for group in groups)


def test_a_clique_is_one_group_led_by_the_one_to_keep() -> None:
    edges = {(a, b) for a in range(5) for b in range(a + 1, 5)}
    place = {0: 4, 1: 3, 2: 0, 3: 1, 4: 2}
    assert grouped(edges, place) == [[2, 3, 4, 1, 0]]


def test_two_crops_of_one_picture_are_in_its_group() -> None:
    assert grouped({(0, 1), (0, 2)}) == [[0, 1, 2]]


def test_the_relation_of_images_that_were_no_candidates_is_looked_up() -> None:
    asked = []

    def related(first: int, second: int) -> bool:
        asked.append((first, second))
        return True

    pairs = [(1, 2, 0.9), (2, 3, 0.8)]
    assert group_pairs(pairs, {1: 2, 2: 1, 3: 0}, related) == [[3, 2, 1]]
    assert asked == [(1, 3)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 24), st.floats(0.05, 0.6))
def test_no_two_images_of_a_group_are_further_than_two_relations_apart(
    seed: int, n: int, density: float
) -> None:
    random = np.random.default_rng(seed)
    edges = {(a, b) for a in range(n) for b in range(a + 1, n) if random.random() < density}
    if not edges:
        return
    place = {row: int(p) for row, p in enumerate(random.permutation(n))}
    groups = grouped(edges, place)
    assert groups == grouped(edges, place)
    seen: set[int] = set()
    for group in groups:
        assert len(group) > 1
        assert group == sorted(group, key=place.__getitem__)
        assert not seen & set(group)
        seen |= set(group)
        leader_sees_all = all((min(group[0], r), max(group[0], r)) in edges for r in group[1:])
        clique = all((min(a, b), max(a, b)) in edges for a in group for b in group if a != b)
        assert clique or leader_sees_all
