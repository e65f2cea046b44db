"""What was found: groups of copies, the one to keep first, each with its proof."""

from __future__ import annotations

from dataclasses import dataclass

from likeness.catalog.records import ImageRow
from search.duplicates.calibrate import Calibration
from search.duplicates.geometry import Evidence
from search.duplicates.relations import Pair, Relation


@dataclass(frozen=True, slots=True)
class Member:
    """relation, pair, evidence: to the first image of the group, from which the evidence is told;
    None for the first itself.

    protected: it lies in a reference folder, or in the other collection, and stays.
    """

    image: ImageRow
    relation: Relation | None
    pair: Pair | None
    evidence: Evidence | None
    protected: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Copies of one picture, the one to keep first. certainty: the loosest relation within."""

    members: tuple[Member, ...]

    @property
    def certainty(self) -> Relation:
        return max((m.relation for m in self.members if m.relation), key=lambda r: r.rank)

    @property
    def removable(self) -> tuple[Member, ...]:
        """What may go: all but the first, and but what is protected."""
        return tuple(member for member in self.members[1:] if not member.protected)


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """groups: the one with most to gain first. compared: pairs that were looked at.

    unreadable: images whose files could not be read for looking at them.
    """

    groups: tuple[Group, ...]
    calibration: Calibration | None
    images: int
    candidates: int
    compared: int
    unreadable: tuple[ImageRow, ...]
