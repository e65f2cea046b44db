"""Groups of copies, and verdicts on them, as documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.schemas.basics import Asked, Document, Flag, Id, Number, WholeId
from api.schemas.images import Image, image_document
from api.sorting.finding import FindRequest
from api.sorting.reports import Copy, StoredReport
from api.sorting.review import LiveGroup, Status, View, gain
from likeness.catalog.records import ImageRow
from likeness.catalog.sorting.verdicts import Verdict
from search.duplicates.calibrate import DEFAULT_MAX_FALSE, Calibration
from search.duplicates.geometry import Evidence as Proof
from search.duplicates.relations import Relation

ShownRelation = Literal["same-bytes", "same-pixels", "edited-copy", "same-scene"]
Rule = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        description="Which image of a group stays: best, largest, newest, oldest or path:PATTERN.",
        examples=["best", "path:*/originals/*"],
    ),
]


class Evidence(Document):
    """How two pictures lie on each other."""

    score: float = Field(description="0..1: share of the overlap that agrees, less if it is small.")
    agreement: float = Field(description="That share alone.")
    area: float = Field(description="Share of the first picture that the second covers.")
    other_area: float = Field(description="The reverse.")
    mirrored: bool
    inliers: int = Field(description="Keypoints that agree; 0 when whole frames were compared.")
    transform: list[list[float]] = Field(
        description="2 × 3: (x, y, 1) of the first picture to (x, y) of the second, each in 0..1 "
        "of its own frame."
    )


def evidence_document(proof: Proof | None) -> Evidence | None:
    """A proof as the API shows it."""
    if proof is None:
        return None
    return Evidence(
        score=round(proof.score, 4),
        agreement=round(proof.agreement, 4),
        area=round(proof.area, 4),
        other_area=round(proof.other_area, 4),
        mirrored=proof.mirrored,
        inliers=proof.inliers,
        transform=[[round(value, 6) for value in row] for row in proof.transform],
    )


class FindDuplicates(Asked):
    """What to look for."""

    keep: Rule = "best"
    max_false: Number = Field(
        default=DEFAULT_MAX_FALSE,
        gt=0,
        le=0.5,
        description="Share of images that may be shown with a false copy.",
    )
    least: ShownRelation = Field(default="edited-copy", description="The loosest relation to show.")
    reference: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        default=[], max_length=50, description="Folders whose images lead their groups and stay."
    )
    against: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Only copies of what this collection holds."
    )
    encoder: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Look in this space; default: the fitting one."
    )
    where: Annotated[str, Field(max_length=10_000)] | None = Field(
        default=None, description="Look among these only."
    )
    recalibrate: Flag = Field(default=False, description="Learn the thresholds anew.")

    def request(self) -> FindRequest:
        """As the service takes it."""
        return FindRequest(
            keep=self.keep,
            max_false=self.max_false,
            least=Relation(self.least),
            reference=tuple(self.reference),
            against=self.against,
            encoder=self.encoder,
            where=self.where if self.where and self.where.strip() else None,
            recalibrate=self.recalibrate,
        )


class Member(Document):
    """An image of a group. What relates it to the group's first image is null for that itself."""

    image: Image
    collection: str = Field(description="Where it is stored.")
    relation: Relation | None
    score: float | None = Field(description="0..1, within the relation.")
    cosine: float | None = Field(description="Of the embeddings.")
    hash_bits: int | None = Field(description="How many of the 256 bits of PDQ differ.")
    evidence: Evidence | None
    protected: bool = Field(description="In a reference folder or another collection: it stays.")
    verdict: Verdict | None


class DuplicateGroup(Document):
    """Copies of one picture, the one to keep first."""

    id: Id = Field(description="The lowest image id in it.")
    certainty: Relation = Field(description="The loosest relation within.")
    gain: int = Field(description="Bytes of all but the first and what is protected.")
    status: Status
    members: list[Member]


class DuplicateRun(Document):
    """A search for copies."""

    made_at: datetime
    keep: str
    max_false: float
    least: Relation
    reference: list[str]
    against: str | None
    where: str | None
    images: int = Field(description="Images that were looked at.")
    compared: int = Field(description="Pairs of pictures that were compared.")
    unreadable: int = Field(description="Images whose files could not be read for it.")
    stale: bool = Field(description="Whether images came or went since.")


class DuplicateTotals(Document):
    """Of the groups as they are now, whatever the filter."""

    groups: int
    open: int = Field(description="Groups in which no image has a verdict.")
    images: int
    gain: int = Field(description="Bytes that could go.")
    marked: int = Field(description="Images that are marked to be removed.")
    marked_bytes: int
    by_relation: dict[str, int] = Field(description="Groups by certainty.")


class DuplicatePage(Document):
    run: DuplicateRun | None = Field(description="The latest; null before the first.")
    totals: DuplicateTotals
    matching: int = Field(description="Groups that fit the filter.")
    groups: list[DuplicateGroup]
    next_after: Id | None = Field(
        description="Give it as `after` to get the next page; null on the last."
    )


def run_document(report: StoredReport, revision: int) -> DuplicateRun:
    request = report.request
    return DuplicateRun(
        made_at=report.made_at,
        keep=str(request["keep"]),
        max_false=float(request["max_false"]),
        least=Relation(str(request["least"])),
        reference=list(request["reference"]),
        against=request["against"],
        where=request["where"],
        images=report.images,
        compared=report.compared,
        unreadable=report.unreadable,
        stale=report.revision != revision,
    )


def totals_document(view: View | None) -> DuplicateTotals:
    groups = view.groups if view else ()
    by_relation: dict[str, int] = {}
    marked = marked_bytes = 0
    for live in groups:
        name = live.group.certainty.value
        by_relation[name] = by_relation.get(name, 0) + 1
        for copy in live.group.copies:
            if live.verdicts.get(copy.image_id) is Verdict.REMOVE:
                marked, marked_bytes = marked + 1, marked_bytes + copy.size
    return DuplicateTotals(
        groups=len(groups),
        open=sum(live.status is Status.OPEN for live in groups),
        images=sum(len(live.group.copies) for live in groups),
        gain=sum(gain(live.group) for live in groups),
        marked=marked,
        marked_bytes=marked_bytes,
        by_relation=by_relation,
    )


def group_document(live: LiveGroup, rows: Mapping[int, ImageRow]) -> DuplicateGroup:
    """rows: of its images; those that have gone from the catalog meanwhile are left out."""
    return DuplicateGroup(
        id=live.group.id,
        certainty=live.group.certainty,
        gain=gain(live.group),
        status=live.status,
        members=[
            _member(copy, live, rows[copy.image_id])
            for copy in live.group.copies
            if copy.image_id in rows
        ],
    )


def _member(copy: Copy, live: LiveGroup, row: ImageRow) -> Member:
    return Member(
        image=image_document(row),
        collection=copy.collection,
        relation=copy.relation,
        score=copy.score,
        cosine=copy.cosine,
        hash_bits=copy.bits,
        evidence=evidence_document(copy.evidence),
        protected=copy.protected,
        verdict=live.verdicts.get(copy.image_id),
    )


_Ids = Annotated[list[WholeId], Field(max_length=10_000)]
_Pairs = Annotated[
    list[Annotated[list[WholeId], Field(min_length=2, max_length=2)]], Field(max_length=10_000)
]


class Judgement(Asked):
    """What a person says of images and pairs; remembered for ever."""

    keep: _Ids = Field(default=[], description="These stay.")
    remove: _Ids = Field(default=[], description="These are to go, once a plan is carried out.")
    undecided: _Ids = Field(default=[], description="Their verdicts are taken back.")
    not_duplicates: _Pairs = Field(default=[], description="Pairs that are no copies.")
    duplicates: _Pairs = Field(default=[], description="Pairs that may be shown again.")


class Marking(Asked):
    """Verdicts on whole groups by a rule: its first stays, the others go."""

    keep: Rule | None = Field(default=None, description="Null: the order in which they are shown.")
    relations: list[ShownRelation] = Field(default=[], max_length=4, description="Empty: all.")
    groups: list[WholeId] | None = Field(default=None, max_length=10_000, description="Null: all.")
    decided_too: Flag = Field(default=False, description="Change what was decided before.")


class Marked(Document):
    """What a marking did."""

    groups: int
    kept: int
    removed: int


class EditRecall(Document):
    """How many copies made by one edit are expected to be found."""

    edit: str
    strength: str
    copies: int = Field(description="Copies that were tried.")
    found: float = Field(description="Share of them that is found.")


class CalibrationDocument(Document):
    """Thresholds learnt from the collection's own images."""

    max_false: float
    copy_score: float
    recalls: list[EditRecall]


def calibration_document(calibration: Calibration) -> CalibrationDocument:
    return CalibrationDocument(
        max_false=calibration.max_false,
        copy_score=calibration.thresholds.copy_score,
        recalls=[
            EditRecall(
                edit=each.edit,
                strength=str(each.strength),
                copies=each.copies,
                found=each.found,
            )
            for each in calibration.recalls
        ],
    )
