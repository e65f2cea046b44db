"""Pairs to groups, without chains: every image is a copy of every other, or of the one kept.

Complete linkage (Sørensen, 1948), the most certain pairs first, on the pairs that were found;
whether two images that were never candidates are related is looked up when a merge depends on it.
Then groups whose images are all directly related to the first image of one of them are joined: two
crops of different halves are no copies of each other, but both are of the whole picture. So no two
images of a group are ever further than two relations apart, whatever the size of the collection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

_MOST_CHECKS = 48


def group_pairs(
    pairs: Sequence[tuple[int, int, float]],
    place: Mapping[int, int],
    related: Callable[[int, int], bool],
) -> list[list[int]]:
    """Groups of two or more rows, each led by the row that comes first in `place`.

    pairs: (row, row, certainty), related ones. place: of every row in the order of keeping,
    0 for the one kept before all others; also breaks ties, so that runs agree.
    related: whether two rows that are in no pair are related; asked at most 48 times per merge,
    evenly spread over the cross pairs of larger groups.
    """
    linked: dict[int, set[int]] = defaultdict(set)
    for first, second, _ in pairs:
        linked[first].add(second)
        linked[second].add(first)
    groups = _Groups(linked, place, related)
    ordered = sorted(
        pairs,
        key=lambda pair: (-pair[2], *sorted((place[pair[0]], place[pair[1]]))),
    )
    for first, second, _ in ordered:
        groups.merge_if_all_related(first, second)
    for leader in sorted(linked, key=lambda row: place[row]):
        groups.gather_round(leader)
    found = [sorted(group, key=lambda row: place[row]) for group in groups.all()]
    return sorted(found, key=lambda group: place[group[0]])


class _Groups:
    def __init__(
        self,
        linked: Mapping[int, set[int]],
        place: Mapping[int, int],
        related: Callable[[int, int], bool],
    ) -> None:
        self._linked, self._place, self._related = linked, place, related
        self._group = {row: [row] for row in linked}
        self._refused: set[tuple[int, int]] = set()

    def all(self) -> list[list[int]]:
        return [group for row, group in self._group.items() if group[0] == row and len(group) > 1]

    def merge_if_all_related(self, first: int, second: int) -> None:
        left, right = self._group[first], self._group[second]
        if left is right:
            return
        cross = [(a, b) for a in left for b in right]
        if all(self._are_related(a, b) for a, b in _spread(cross)):
            self._merge(left, right)

    def gather_round(self, leader: int) -> None:
        """Groups whose every image is related to the leader join its group, if it leads that."""
        for other in sorted(self._linked[leader], key=lambda row: self._place[row]):
            own, theirs = self._group[leader], self._group[other]
            if own is theirs or min(own, key=lambda row: self._place[row]) != leader:
                continue
            both = [*own, *theirs]
            if min(both, key=lambda row: self._place[row]) != leader:
                continue
            if all(self._are_related(leader, row) for row in both if row != leader):
                self._merge(own, theirs)

    def _are_related(self, first: int, second: int) -> bool:
        if second in self._linked[first]:
            return True
        key = (min(first, second), max(first, second))
        if key in self._refused:
            return False
        if self._related(*key):
            self._linked[first].add(second)
            self._linked[second].add(first)
            return True
        self._refused.add(key)
        return False

    def _merge(self, left: list[int], right: list[int]) -> None:
        joined = [*left, *right]
        for row in joined:
            self._group[row] = joined


def _spread(cross: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(cross) <= _MOST_CHECKS:
        return cross
    step = len(cross) / _MOST_CHECKS
    return [cross[int(number * step)] for number in range(_MOST_CHECKS)]
