"""What would be done about copies, written down before anything is: `plan.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from likeness.errors import PlanError

SCHEMA = "likeness.plan/1"


class Action(StrEnum):
    """TRASH and MOVE take the copy away to a folder; HARDLINK then puts a link in its place."""

    TRASH = "trash"
    MOVE = "move"
    HARDLINK = "hardlink"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A local file as it was when the plan was made. path: absolute. sha256: lower-case hex."""

    image_id: int
    uri: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Step:
    """One copy to be taken away, and the image that stays for it. number: place in the plan."""

    number: int
    group: int
    relation: str
    keep: PlannedFile
    remove: PlannedFile
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A copy that cannot be acted on, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """folder: absolute, where copies are taken to. plan_id: part of file names there."""

    plan_id: str
    collection: str
    action: Action
    folder: str
    keep_rule: str
    created_at: str
    steps: Sequence[Step] = ()
    unplanned: Sequence[Unplanned] = field(default_factory=tuple)

    def destination(self, step: Step) -> Path:
        """Where the copy goes: numbered, so that equal names do not meet."""
        return Path(self.folder) / self.plan_id / f"{step.number:06d}-{Path(step.remove.path).name}"

    @property
    def journal(self) -> Path:
        return Path(self.folder) / self.plan_id / "undo.jsonl"


def new_plan_id(now: datetime | None = None) -> str:
    """A name that sorts by time and that no other plan has: `20240131-120000-9f3c`."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{os.urandom(3).hex()}"


def write_plan(plan: Plan, path: Path) -> None:
    """The plan is at path, as JSON, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({"schema": SCHEMA, **asdict(plan)}, indent=1, ensure_ascii=False)
    try:
        beside.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise PlanError(str(path), f"cannot be written ({error.strerror})") from error


def read_plan(path: Path) -> Plan:
    """The plan at path, checked. Raises PlanError when it is no plan or contradicts itself."""
    try:
        document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise PlanError(str(path), f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise PlanError(str(path), f"is not JSON ({error})") from error
    remedy = "make it again with `likeness duplicates --plan`"
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise PlanError(str(path), f"is not a plan of schema {SCHEMA}", remedy)
    try:
        plan = _plan(document)
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(str(path), f"lacks or garbles {error}", remedy) from error
    check_plan(plan, str(path))
    return plan


def check_plan(plan: Plan, name: str) -> None:
    """Raise PlanError when a plan would take away what it keeps, or the same file twice."""
    removed: set[str] = set()
    for number, step in enumerate(plan.steps):
        for file in (step.keep, step.remove):
            if not Path(file.path).is_absolute() or len(file.sha256) != 64:
                raise PlanError(
                    name, f"step {step.number} names {file.path!r} without whole path and hash"
                )
        if step.number != number:
            raise PlanError(name, f"step {number} is numbered {step.number}")
        if step.remove.path in removed:
            raise PlanError(name, f"{step.remove.path} would be taken away twice")
        removed.add(step.remove.path)
    for step in plan.steps:
        if step.keep.path in removed:
            raise PlanError(
                name,
                f"{step.keep.path} is kept by step {step.number} and taken away by another",
                "keep one image in each group",
            )
    if not Path(plan.folder).is_absolute() or "/" in plan.plan_id or plan.plan_id.startswith("."):
        raise PlanError(
            name, f"its folder {plan.folder!r} or id {plan.plan_id!r} is not safe to use"
        )


def _plan(document: Mapping[str, Any]) -> Plan:
    return Plan(
        plan_id=str(document["plan_id"]),
        collection=str(document["collection"]),
        action=Action(document["action"]),
        folder=str(document["folder"]),
        keep_rule=str(document["keep_rule"]),
        created_at=str(document["created_at"]),
        steps=tuple(
            Step(
                number=int(step["number"]),
                group=int(step["group"]),
                relation=str(step["relation"]),
                keep=_file(step["keep"]),
                remove=_file(step["remove"]),
                evidence=step.get("evidence"),
            )
            for step in document["steps"]
        ),
        unplanned=tuple(
            Unplanned(str(row["path"]), str(row["reason"])) for row in document["unplanned"]
        ),
    )


def _file(document: Mapping[str, Any]) -> PlannedFile:
    return PlannedFile(
        image_id=int(document["image_id"]),
        uri=str(document["uri"]),
        path=str(document["path"]),
        sha256=str(document["sha256"]),
    )
