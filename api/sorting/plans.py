"""Plans made from verdicts, kept in the home; applying them and taking them back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from api.errors import NotFoundHere
from api.sorting.jobs import JobProgress
from api.sorting.reports import Copy, led_by
from api.sorting.review import LiveGroup
from likeness.catalog import Catalog
from likeness.catalog.records import Collection, ImageRow
from likeness.catalog.sorting.duplicates import DuplicateRecords, StoredJournal
from likeness.catalog.sorting.merging import CatalogBooks
from likeness.catalog.sorting.verdicts import Verdict
from likeness.errors import PlanError
from search.duplicates.apply import Outcome, apply_plan, undo
from search.duplicates.plan import Action, Plan, Unplanned, read_plan, write_plan
from search.duplicates.planning import make_plan
from search.duplicates.report import Group, Member

log = logging.getLogger(__name__)


class PlanState(StrEnum):
    """MADE: nothing was done yet. APPLIED: copies were taken away. UNDONE: they are back."""

    MADE = "made"
    APPLIED = "applied"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class KnownPlan:
    """plan: None for one that was applied elsewhere, of which there is only the journal."""

    plan_id: str
    plan: Plan | None
    state: PlanState
    applied_at: datetime | None
    undone_at: datetime | None


class Plans:
    """The plans of a service. Thread-safe. folder: where they lie; trash: where copies go."""

    def __init__(self, catalog: Catalog, folder: Path, trash: Path) -> None:
        self._catalog, self._folder, self._trash = catalog, folder, trash
        self._records = DuplicateRecords(catalog)
        self._read: dict[str, Plan] = {}
        self._lock = threading.Lock()

    def make(
        self,
        collection: Collection,
        groups: Iterable[LiveGroup],
        rows: Mapping[int, ImageRow],
        *,
        action: Action,
        keep_rule: str,
        open_ones_too: bool,
    ) -> KnownPlan:
        """A plan that takes away what is marked; it is on disk. Raises PlanError.

        open_ones_too: of groups without any verdict all but the first go.
        """
        planned: list[Group] = []
        spared: list[Unplanned] = []
        for live in groups:
            group, last = _to_group(live, rows, open_ones_too=open_ones_too)
            if group is not None:
                planned.append(group)
            if last is not None:
                spared.append(Unplanned(last.path, "it is the last copy of its picture"))
        made = make_plan(
            planned,
            collection=collection.name,
            action=action,
            folder=self._trash,
            keep_rule=keep_rule,
        )
        made = replace(made, unplanned=(*made.unplanned, *spared))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_plan(made, self._path(made.plan_id))
        return KnownPlan(made.plan_id, made, PlanState.MADE, None, None)

    def all(self, collection: Collection, limit: int) -> list[KnownPlan]:
        """The latest first: those made here, and those of which there is a journal."""
        journals = {
            j.plan_id: j for j in self._records.journals() if j.collection == collection.name
        }
        here = (
            {path.stem for path in self._folder.glob("*.json")} if self._folder.is_dir() else set()
        )
        found: list[KnownPlan] = []
        for plan_id in sorted({*journals, *here}, reverse=True):
            plan = self._plan(plan_id) if plan_id in here else None
            if plan is not None and plan.collection != collection.name:
                continue
            if plan is None and plan_id not in journals:
                continue
            found.append(_known(plan_id, plan, journals.get(plan_id)))
            if len(found) == limit:
                break
        return found

    def one(self, collection: Collection, plan_id: str) -> KnownPlan:
        """Raises NotFoundHere."""
        plan = self._plan(plan_id)
        journal = next((j for j in self._records.journals() if j.plan_id == plan_id), None)
        if plan is None and journal is None:
            raise NotFoundHere(f"collection {collection.name!r} has no plan {plan_id!r}")
        owner = plan.collection if plan else journal.collection if journal else None
        if owner != collection.name:
            raise NotFoundHere(f"collection {collection.name!r} has no plan {plan_id!r}")
        return _known(plan_id, plan, journal)

    # ---------------------------------------------------------------- work of jobs

    def check_appliable(self, known: KnownPlan) -> Plan:
        """The plan, if it can be applied. Raises PlanError."""
        if known.plan is None:
            raise PlanError(known.plan_id, "was made elsewhere", "apply it with `likeness apply`")
        if known.state is PlanState.UNDONE:
            raise PlanError(known.plan_id, "was applied and undone", "make a new plan to act again")
        return known.plan

    def check_undoable(self, known: KnownPlan) -> Path:
        """The journal of a plan that can be undone. Raises PlanError."""
        journal = next((j for j in self._records.journals() if j.plan_id == known.plan_id), None)
        if journal is None or known.state is not PlanState.APPLIED:
            reason = "was undone already" if known.state is PlanState.UNDONE else "was not applied"
            raise PlanError(known.plan_id, reason)
        return journal.path

    def apply(self, collection: Collection, plan: Plan, progress: JobProgress) -> Outcome:
        """The plan's copies are taken away, each checked first."""
        progress.total = len(plan.steps)
        progress.note("taking copies away")
        done = 0

        def on_step(_step: object) -> None:
            nonlocal done
            done += 1
            progress.counts["taken_away"] = done

        if plan.steps:
            self._records.journal_begun(plan.plan_id, plan.collection, plan.journal)
        books = CatalogBooks(self._catalog, collection.id)
        outcome = apply_plan(plan, books, stopped=progress.stop.is_set, on_step=on_step)
        _tell(progress, "taken_away", outcome)
        return outcome

    def undo(self, collection: Collection, journal: Path, progress: JobProgress) -> Outcome:
        """What the journal tells of is back where it was."""
        progress.note("bringing copies back")
        outcome = undo(journal, CatalogBooks(self._catalog, collection.id))
        if not outcome.skipped:
            self._records.journal_undone(journal)
        _tell(progress, "brought_back", outcome)
        return outcome

    # ---------------------------------------------------------------- inside

    def _path(self, plan_id: str) -> Path:
        return self._folder / f"{plan_id}.json"

    def _plan(self, plan_id: str) -> Plan | None:
        """A plan never changes, so it is read once; None where there is none, or a broken one."""
        with self._lock:
            if plan_id in self._read:
                return self._read[plan_id]
        if not self._path(plan_id).is_file():
            return None
        try:
            plan = read_plan(self._path(plan_id))
        except PlanError as error:
            log.warning("%s", error)
            return None
        with self._lock:
            self._read[plan_id] = plan
        return plan


def _known(plan_id: str, plan: Plan | None, journal: StoredJournal | None) -> KnownPlan:
    if journal is None:
        return KnownPlan(plan_id, plan, PlanState.MADE, None, None)
    state = PlanState.APPLIED if journal.undone_at is None else PlanState.UNDONE
    return KnownPlan(plan_id, plan, state, journal.applied_at, journal.undone_at)


def _tell(progress: JobProgress, verb: str, outcome: Outcome) -> None:
    progress.counts[verb] = len(outcome.done)
    if outcome.skipped:
        progress.counts["skipped"] = len(outcome.skipped)
        path, reason = outcome.skipped[0]
        progress.outcome = f"{len(outcome.skipped):,} left alone, such as {path}: {reason}"


def _to_group(
    live: LiveGroup, rows: Mapping[int, ImageRow], *, open_ones_too: bool
) -> tuple[Group | None, ImageRow | None]:
    """What of a group is to go, led by what stays for it; and the image spared as the last."""
    copies = [copy for copy in live.group.copies if copy.image_id in rows]
    verdict = live.verdicts
    if not verdict and not open_ones_too:
        return None, None
    if len(copies) < 2:
        return None, None

    def goes(copy: Copy) -> bool:
        if copy.protected:
            return False
        if not verdict:
            return copy is not copies[0]
        return verdict.get(copy.image_id) is Verdict.REMOVE

    leaving = [copy for copy in copies if goes(copy)]
    staying = [copy for copy in copies if not goes(copy)]
    if not leaving:
        return None, None
    spared = None
    if not staying:
        staying, leaving = [leaving[0]], leaving[1:]
        spared = rows[staying[0].image_id]
    wanted = [copy for copy in staying if verdict.get(copy.image_id) is Verdict.KEEP]
    first = (wanted or staying)[0]
    told = {copy.image_id: copy for copy in led_by(live.group.copies, first)}
    members = [Member(rows[first.image_id], None, None, None, first.protected)]
    for copy in leaving:
        turned = told[copy.image_id]
        members.append(Member(rows[copy.image_id], turned.relation, None, turned.evidence, False))
    return Group(tuple(members)), spared
