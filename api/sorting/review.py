"""The groups of copies as they are now: without what has gone or was judged since."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from api.errors import NotFoundHere
from api.sorting.reports import FILE_NAME, Copy, CopyGroup, StoredReport, led_by, load_report
from likeness.catalog import Catalog
from likeness.catalog.records import Collection as CollectionRecord
from likeness.catalog.records import ImageRow
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.sorting.verdicts import CopyVerdicts, Verdict
from likeness.errors import CollectionNotFound, ImageNotFound
from search.duplicates.keep import KeepRule
from search.duplicates.relations import Relation


class Status(StrEnum):
    """OPEN: no image of the group has a verdict. DECIDED: one has."""

    OPEN = "open"
    DECIDED = "decided"
    ALL = "all"


class Order(StrEnum):
    """CERTAINTY: the most certain relation first. GAIN: what frees most bytes first."""

    CERTAINTY = "certainty"
    GAIN = "gain"


@dataclass(frozen=True, slots=True)
class LiveGroup:
    """A group without what has gone; verdicts: of its images that have one."""

    group: CopyGroup
    verdicts: Mapping[int, Verdict]

    @property
    def status(self) -> Status:
        return Status.DECIDED if self.verdicts else Status.OPEN


@dataclass(frozen=True, slots=True)
class View:
    """A report as it is now. groups: in the report's order."""

    report: StoredReport
    groups: tuple[LiveGroup, ...]

    def chosen(
        self, relations: Collection[Relation] = (), status: Status = Status.ALL
    ) -> Iterator[LiveGroup]:
        """Those of these relations (none: all) in this state."""
        for live in self.groups:
            if relations and live.group.certainty not in relations:
                continue
            if status in (Status.ALL, live.status):
                yield live


class Review:
    """Reads reports, remembers verdicts. Thread-safe.

    folder_of: where the derived files of a collection lie, by its id.
    """

    def __init__(self, catalog: Catalog, folder_of: Callable[[int], Path]) -> None:
        self._catalog, self._folder_of = catalog, folder_of
        self._records, self._verdicts = DuplicateRecords(catalog), CopyVerdicts(catalog)
        self._reports: dict[int, tuple[int, StoredReport | None]] = {}
        self._views: dict[int, tuple[object, View]] = {}
        self._lock = threading.Lock()

    def path(self, collection_id: int) -> Path:
        return self._folder_of(collection_id) / FILE_NAME

    def view(self, collection: CollectionRecord) -> View | None:
        """The latest report as it is now; None before copies were looked for."""
        report, state = self._report(collection.id)
        if report is None:
            return None
        apart = self._records.verdicts()
        key = (state, collection.revision, self._verdicts.stamp(), apart)
        with self._lock:
            kept = self._views.get(collection.id)
        if kept is not None and kept[0] == key:
            return kept[1]
        made = self._live(report, collection, apart)
        with self._lock:
            self._views[collection.id] = (key, made)
        return made

    def group(self, collection: CollectionRecord, group_id: int) -> LiveGroup:
        """Raises NotFoundHere."""
        view = self.view(collection)
        for live in view.groups if view else ():
            if live.group.id == group_id:
                return live
        raise NotFoundHere(f"collection {collection.name!r} has no group of copies {group_id}")

    def rows(
        self, collection: CollectionRecord, groups: Iterable[CopyGroup]
    ) -> dict[int, ImageRow]:
        """What is known of the groups' images, those of other collections included."""
        wanted: dict[str, set[int]] = {}
        for group in groups:
            for copy in group.copies:
                wanted.setdefault(copy.collection, set()).add(copy.image_id)
        found: dict[int, ImageRow] = {}
        for name, image_ids in wanted.items():
            other = self._other(collection, name)
            if other is not None:
                found |= self._catalog.images(other.id, sorted(image_ids))
        return found

    # ---------------------------------------------------------------- verdicts

    def judge(self, collection: CollectionRecord, verdicts: Mapping[int, Verdict | None]) -> None:
        """Each image is to be kept, removed, or open again. Raises ImageNotFound."""
        self._check(collection, verdicts)
        self._verdicts.set(verdicts)

    def judge_pairs(
        self, collection: CollectionRecord, pairs: Sequence[tuple[int, int]], *, are_copies: bool
    ) -> None:
        """The pairs are no copies, for ever; or may be shown again. Raises ImageNotFound."""
        known = self._check(collection, [image_id for pair in pairs for image_id in pair])
        hashes = [(known[one].sha256, known[other].sha256) for one, other in pairs]
        if are_copies:
            self._records.forget_verdicts(hashes)
        else:
            self._records.not_duplicates(hashes)

    def judge_by_rule(
        self,
        collection: CollectionRecord,
        rule: KeepRule | None,
        groups: Iterable[LiveGroup],
    ) -> tuple[int, int, int]:
        """The first of each group by the rule (None: as shown) is to be kept, the others to be
        removed, but for what is protected. Returns how many: groups, kept, removed."""
        groups = list(groups)
        rows = self.rows(collection, (live.group for live in groups)) if rule else {}
        verdicts: dict[int, Verdict | None] = {}
        for live in groups:
            copies = live.group.copies
            first = copies[0]
            if rule is not None:
                first = min(copies, key=lambda c: (not c.protected, *rule.rank(rows[c.image_id])))
            for copy in copies:
                if copy.collection != collection.name:
                    continue
                stays = copy.image_id == first.image_id or copy.protected
                verdicts[copy.image_id] = Verdict.KEEP if stays else Verdict.REMOVE
        self._verdicts.set(verdicts)
        removed = sum(verdict is Verdict.REMOVE for verdict in verdicts.values())
        return len(groups), len(verdicts) - removed, removed

    # ---------------------------------------------------------------- inside

    def _report(self, collection_id: int) -> tuple[StoredReport | None, int]:
        path = self.path(collection_id)
        try:
            state = path.stat().st_mtime_ns
        except OSError:
            return None, 0
        with self._lock:
            kept = self._reports.get(collection_id)
        if kept is not None and kept[0] == state:
            return kept[1], state
        report = load_report(path)
        with self._lock:
            self._reports[collection_id] = (state, report)
        return report, state

    def _live(
        self, report: StoredReport, collection: CollectionRecord, apart: set[tuple[str, str]]
    ) -> View:
        verdicts = self._verdicts.of(collection.id)
        ready: dict[str, set[int]] = {}
        for group in report.groups:
            for copy in group.copies:
                if copy.collection not in ready:
                    ready[copy.collection] = self._ready(collection, copy.collection)
        groups = []
        for group in report.groups:
            live = _without(group, ready, apart)
            if live is not None:
                given = {c.image_id: verdicts[c.image_id] for c in live.copies
                         if c.image_id in verdicts and c.collection == collection.name}  # fmt: skip
                groups.append(LiveGroup(live, given))
        return View(report, tuple(groups))

    def _ready(self, collection: CollectionRecord, name: str) -> set[int]:
        other = self._other(collection, name)
        return set() if other is None else set(self._catalog.filter_ids(other.id, None).tolist())

    def _other(self, collection: CollectionRecord, name: str) -> CollectionRecord | None:
        if name == collection.name:
            return collection
        try:
            return self._catalog.collection(name)
        except CollectionNotFound:
            return None

    def _check(self, collection: CollectionRecord, image_ids: Iterable[int]) -> dict[int, ImageRow]:
        wanted = list(dict.fromkeys(image_ids))
        known = self._catalog.images(collection.id, wanted)
        for image_id in wanted:
            if image_id not in known:
                raise ImageNotFound(image_id, collection.name)
        return known


def _without(
    group: CopyGroup, ready: Mapping[str, set[int]], apart: Collection[tuple[str, str]]
) -> CopyGroup | None:
    """The group of its ready images, less those that are no copies of its first; None below two."""
    here = [copy for copy in group.copies if copy.image_id in ready[copy.collection]]
    if len(here) < 2:
        return None
    copies = here if here[0] == group.copies[0] else led_by(group.copies, here[0])
    alive = {copy.image_id for copy in here}
    left: list[Copy] = []
    for copy in copies:
        if copy.image_id not in alive:
            continue
        if not left or _pair(left[0], copy) not in apart:
            left.append(copy)
    return CopyGroup(group.id, tuple(left)) if len(left) > 1 else None


def _pair(one: Copy, other: Copy) -> tuple[str, str]:
    first, second = sorted((one.sha256, other.sha256))
    return first, second


def gain(group: CopyGroup) -> int:
    """Bytes of what may go of a group."""
    return sum(copy.size for copy in group.copies[1:] if not copy.protected)
