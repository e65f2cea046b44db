"""The latest groups of copies of a collection, as a file beside its indexes: derived data."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from search.duplicates.geometry import Evidence
from search.duplicates.relations import Relation
from search.duplicates.report import DuplicateReport, Member

log = logging.getLogger(__name__)

FILE_NAME = "duplicates.json"
_SCHEMA = "likeness.review/1"
_GRID = 24


@dataclass(frozen=True, slots=True)
class Copy:
    """A member of a group. relation, evidence: to the group's first, None for that itself.

    collection: where it is stored; another one's images are protected. size: bytes.
    """

    image_id: int
    collection: str
    sha256: str
    size: int
    relation: Relation | None
    score: float | None
    cosine: float | None
    bits: int | None
    protected: bool
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """Copies of one picture, the one to keep first. id: the lowest image id in it."""

    id: int
    copies: tuple[Copy, ...]

    @property
    def certainty(self) -> Relation:
        """The loosest relation within."""
        return max((c.relation for c in self.copies if c.relation), key=lambda r: r.rank)


@dataclass(frozen=True, slots=True)
class StoredReport:
    """revision: of the collection when it was made. request: as it was asked for."""

    made_at: datetime
    revision: int
    request: Mapping[str, Any]
    images: int
    candidates: int
    compared: int
    unreadable: int
    groups: tuple[CopyGroup, ...]


def stored_report(
    report: DuplicateReport,
    *,
    revision: int,
    request: Mapping[str, Any],
    collection_of: Mapping[int, str],
) -> StoredReport:
    """What is kept of a report. collection_of: collection id → name."""
    groups = []
    for group in report.groups:
        copies = tuple(_copy(member, collection_of) for member in group.members)
        groups.append(CopyGroup(min(copy.image_id for copy in copies), copies))
    return StoredReport(
        datetime.now(UTC),
        revision,
        request,
        report.images,
        report.candidates,
        report.compared,
        len(report.unreadable),
        tuple(groups),
    )


def save_report(report: StoredReport, path: Path) -> None:
    """The file at path is this report, whole."""
    document = {
        "schema": _SCHEMA,
        "made_at": report.made_at.isoformat(),
        "revision": report.revision,
        "request": dict(report.request),
        "images": report.images,
        "candidates": report.candidates,
        "compared": report.compared,
        "unreadable": report.unreadable,
        "groups": [[_row(copy) for copy in group.copies] for group in report.groups],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, separators=(",", ":"))
    Path(name).replace(path)


def load_report(path: Path) -> StoredReport | None:
    """The report at path; None when there is none. A damaged one is logged and counts as none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SCHEMA:
            raise ValueError(f"it is of schema {document['schema']}")
        groups = [tuple(_from_row(row) for row in rows) for rows in document["groups"]]
        return StoredReport(
            datetime.fromisoformat(document["made_at"]),
            int(document["revision"]),
            document["request"],
            int(document["images"]),
            int(document["candidates"]),
            int(document["compared"]),
            int(document["unreadable"]),
            tuple(CopyGroup(min(c.image_id for c in copies), copies) for copies in groups),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("%s: %s; find the copies again", path, error)
        return None


def led_by(copies: Sequence[Copy], first: Copy) -> tuple[Copy, ...]:
    """The group with another first image: relations and proofs are told from that one.

    copies: told from copies[0]. Two copies of one picture are related as loosely as the looser of
    them is to it; how they lie on each other follows from how each lies on it.
    """
    if first == copies[0]:
        return tuple(copies)
    turned = [replace(first, relation=None, score=None, cosine=None, bits=None, evidence=None)]
    back = None if first.evidence is None else first.evidence.reversed()
    for copy in copies:
        if copy.image_id == first.image_id:
            continue
        looser = max(
            (each for each in (first.relation, copy.relation) if each), key=lambda r: r.rank
        )
        scores = [each.score for each in (first, copy) if each.score is not None]
        turned.append(
            replace(
                copy,
                relation=looser,
                score=min(scores, default=None),
                cosine=first.cosine if copy.relation is None else None,
                bits=first.bits if copy.relation is None else None,
                evidence=_composed(back, copy.evidence),
            )
        )
    return tuple(turned)


def _composed(first: Evidence | None, second: Evidence | None) -> Evidence | None:
    """Frame to frame by way of a third; None: that step changes nothing."""
    if first is None or second is None:
        return first or second
    matrix = _full(second) @ _full(first)
    rows = matrix[:2].tolist()
    return Evidence(
        score=min(first.score, second.score),
        agreement=min(first.agreement, second.agreement),
        area=_covered(matrix),
        other_area=_covered(np.linalg.inv(matrix)),
        transform=(tuple(rows[0]), tuple(rows[1])),
        mirrored=first.mirrored != second.mirrored,
        inliers=min(first.inliers, second.inliers),
    )


def _full(evidence: Evidence) -> Any:
    return np.vstack([np.array(evidence.transform), [0.0, 0.0, 1.0]])


def _covered(matrix: Any) -> float:
    """Share of the first frame that lies within the second, on a grid."""
    at = (np.arange(_GRID) + 0.5) / _GRID
    points = np.stack([*np.meshgrid(at, at), np.ones((_GRID, _GRID))]).reshape(3, -1)
    there = (matrix @ points)[:2]
    return float(((there >= 0) & (there <= 1)).all(axis=0).mean())


def _copy(member: Member, collection_of: Mapping[int, str]) -> Copy:
    pair = member.pair
    return Copy(
        member.image.id,
        collection_of[member.image.collection_id],
        member.image.sha256,
        member.image.size or 0,
        member.relation,
        None if pair is None else round(pair.score, 4),
        None if pair is None else round(pair.cosine, 4),
        None if pair is None else pair.bits,
        member.protected,
        member.evidence,
    )


def _row(copy: Copy) -> list[Any]:
    evidence = copy.evidence
    return [
        copy.image_id,
        copy.collection,
        copy.sha256,
        copy.size,
        copy.relation.value if copy.relation else None,
        copy.score,
        copy.cosine,
        copy.bits,
        copy.protected,
        None
        if evidence is None
        else [
            evidence.score,
            evidence.agreement,
            evidence.area,
            evidence.other_area,
            evidence.transform,
            evidence.mirrored,
            evidence.inliers,
        ],
    ]


def _from_row(row: Sequence[Any]) -> Copy:
    image_id, collection, sha256, size, relation, score, cosine, bits, protected, proof = row
    return Copy(
        int(image_id),
        str(collection),
        str(sha256),
        int(size),
        Relation(relation) if relation else None,
        score,
        cosine,
        bits,
        bool(protected),
        None if proof is None else _proof(proof),
    )


def _proof(row: Sequence[Any]) -> Evidence:
    score, agreement, area, other_area, ((a, b, c), (d, e, f)), mirrored, inliers = row
    return Evidence(
        float(score),
        float(agreement),
        float(area),
        float(other_area),
        ((float(a), float(b), float(c)), (float(d), float(e), float(f))),
        bool(mirrored),
        int(inliers),
    )
