"""Plans of what is to become of copies, as documents."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.basics import Asked, Document, Flag, Id
from api.schemas.duplicates import ShownRelation
from api.sorting.plans import KnownPlan, PlanState
from search.duplicates.plan import Action, PlannedFile, Step


class PlanAsked(Asked):
    """What to do with the images that are marked."""

    action: Literal["trash", "hardlink"] = Field(
        default="trash",
        description="hardlink: a link to the kept image then takes the copy's place.",
    )
    relations: list[ShownRelation] = Field(default=[], max_length=4, description="Empty: all.")
    open_ones_too: Flag = Field(
        default=False, description="Of groups without a verdict, all but the first go too."
    )


class Plan(Document):
    """What would be done, or was. Numbers are null for a plan made outside this service."""

    id: str
    state: PlanState
    action: Action | None
    files: int | None = Field(description="Copies that it takes away.")
    unplanned: int | None = Field(description="Copies that cannot be acted on.")
    folder: str | None = Field(description="Where the copies go.")
    created_at: datetime | None
    applied_at: datetime | None
    undone_at: datetime | None


class PlanList(Document):
    plans: list[Plan] = Field(description="The latest first.")


class FileInPlan(Document):
    id: Id
    path: str
    sha256: str


class PlanStep(Document):
    """One copy to be taken away, and the image that stays for it."""

    number: int
    relation: str
    keep: FileInPlan
    remove: FileInPlan


class LeftAlone(Document):
    path: str
    reason: str


class PlanPage(Document):
    plan: Plan
    steps: list[PlanStep]
    left_alone: list[LeftAlone] = Field(description="On the first page only, at most 1,000.")
    next_after: int | None


def plan_document(known: KnownPlan) -> Plan:
    plan = known.plan
    return Plan(
        id=known.plan_id,
        state=known.state,
        action=plan.action if plan else None,
        files=len(plan.steps) if plan else None,
        unplanned=len(plan.unplanned) if plan else None,
        folder=plan.folder if plan else None,
        created_at=datetime.fromisoformat(plan.created_at) if plan else None,
        applied_at=known.applied_at,
        undone_at=known.undone_at,
    )


def step_document(step: Step) -> PlanStep:
    return PlanStep(
        number=step.number,
        relation=step.relation,
        keep=_file(step.keep),
        remove=_file(step.remove),
    )


def _file(planned: PlannedFile) -> FileInPlan:
    shown = planned.path.encode("utf-8", "replace").decode()
    return FileInPlan(id=planned.image_id, path=shown, sha256=planned.sha256)
