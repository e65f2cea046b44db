"""From groups to a plan: which files would go where."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from likeness.catalog.records import ImageRow
from search.duplicates.geometry import Evidence
from search.duplicates.plan import Action, Plan, PlannedFile, Step, Unplanned, new_plan_id
from search.duplicates.report import Group


def make_plan(
    groups: Sequence[Group], *, collection: str, action: Action, folder: Path, keep_rule: str
) -> Plan:
    """A plan that keeps the first image of every group and takes away the others it may."""
    steps: list[Step] = []
    unplanned: list[Unplanned] = []
    for number, group in enumerate(groups):
        first = group.members[0].image
        keep = planned_file(first)
        for member in group.removable:
            remove = planned_file(member.image)
            if remove is None:
                unplanned.append(Unplanned(member.image.path, "it is not a file of its own here"))
            elif keep is None:
                unplanned.append(
                    Unplanned(member.image.path, f"{first.path}, kept for it, is not a file here")
                )
            elif member.relation is not None:
                evidence = member.evidence
                steps.append(
                    Step(
                        len(steps),
                        number,
                        member.relation.value,
                        keep,
                        remove,
                        None if evidence is None else evidence_document(evidence),
                    )
                )
    now = datetime.now(UTC)
    return Plan(
        plan_id=new_plan_id(now),
        collection=collection,
        action=action,
        folder=str(folder.absolute()),
        keep_rule=keep_rule,
        created_at=now.isoformat(timespec="seconds"),
        steps=tuple(steps),
        unplanned=tuple(unplanned),
    )


def planned_file(row: ImageRow) -> PlannedFile | None:
    """The local file of an image; None for archive members, URLs and unread images."""
    path = local_path(row.uri)
    if path is None or not row.sha256:
        return None
    return PlannedFile(row.id, row.uri, str(path), row.sha256)


def local_path(uri: str) -> Path | None:
    """The path behind a `file:` URI, whatever bytes are in its name; None for others."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def evidence_document(evidence: Evidence) -> dict[str, Any]:
    """The proof as JSON holds it."""
    return {
        "score": round(evidence.score, 4),
        "agreement": round(evidence.agreement, 4),
        "area": round(evidence.area, 4),
        "other_area": round(evidence.other_area, 4),
        "mirrored": evidence.mirrored,
        "inliers": evidence.inliers,
        "transform": [[round(value, 6) for value in row] for row in evidence.transform],
    }
