"""Copies within a collection: finding, judging, planning, acting, taking back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from api.access import MAY_ADMIN, MAY_READ, MAY_WRITE
from api.errors import NotMadeYet
from api.routes.jobs import accepted
from api.schemas.basics import LARGEST_ID, CollectionPath, Id
from api.schemas.duplicates import (
    CalibrationDocument,
    DuplicateGroup,
    DuplicatePage,
    FindDuplicates,
    Judgement,
    Marked,
    Marking,
    ShownRelation,
    calibration_document,
    group_document,
    run_document,
    totals_document,
)
from api.schemas.jobs import Job
from api.schemas.plans import (
    LeftAlone,
    Plan,
    PlanAsked,
    PlanList,
    PlanPage,
    plan_document,
    step_document,
)
from api.service import TheService
from api.sorting.review import LiveGroup, Order, Status, gain
from api.sorting.service import TheSorting
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.sorting.verdicts import Verdict
from likeness.errors import InputError
from search.duplicates.calibrate import Calibration
from search.duplicates.keep import parse_keep
from search.duplicates.opening import copies_space
from search.duplicates.plan import Action
from search.duplicates.relations import Relation

router = APIRouter(prefix="/v1/collections/{collection}/duplicates", tags=["duplicates"])

GroupId = Annotated[int, Path(ge=0, le=LARGEST_ID, description="Id of a group.")]
PlanId = Annotated[
    str, Path(pattern=r"^[0-9]{8}-[0-9]{6}-[0-9a-f]{6}$", description="Id of a plan.")
]
_MOST_LEFT_ALONE = 1000


@router.post(
    "",
    summary="Find copies",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_WRITE],
)
def find_duplicates(
    collection: CollectionPath, asked: FindDuplicates, service: TheService, sorting: TheSorting
) -> Response:
    """A job that looks for copies; its groups replace those of the search before. Nothing else is
    changed, and what was decided stays."""
    known = service.collection(collection)
    if asked.against is not None:
        if asked.against == collection:
            raise InputError("against: name another collection than the one that is searched")
        service.collection(asked.against)
    copies_space(service.catalog, collection, asked.encoder)
    return accepted(sorting.find(known, asked.request()))


@router.get("", summary="Groups of copies", dependencies=[MAY_READ])
def list_duplicates(
    collection: CollectionPath,
    service: TheService,
    sorting: TheSorting,
    relation: Annotated[
        list[ShownRelation], Query(description="Groups of these only, by their loosest relation.")
    ] = [],  # noqa: B006 - FastAPI copies it
    show: Annotated[Status, Query(alias="status")] = Status.ALL,
    order: Order = Order.CERTAINTY,
    after: Annotated[Id | None, Query(description="`next_after` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DuplicatePage:
    """A page of the groups that the latest search found, without what has gone or was judged to be
    no copy since."""
    known = service.collection(collection)
    view = sorting.review.view(known)
    groups = list(view.groups) if view else []
    if order is Order.GAIN:
        groups.sort(key=lambda live: -gain(live.group))
    relations = {Relation(each) for each in relation}
    fitting = [
        live
        for live in groups
        if (not relations or live.group.certainty in relations)
        and show in (Status.ALL, live.status)
    ]
    start = 0
    if after is not None:
        # The group may fit the filter no longer, so its place is looked up among all.
        before = {live.group.id for live in _until(groups, after)}
        start = sum(live.group.id in before for live in fitting)
    page = fitting[start : start + limit]
    rows = sorting.review.rows(known, (live.group for live in page))
    return DuplicatePage(
        run=run_document(view.report, known.revision) if view else None,
        totals=totals_document(view),
        matching=len(fitting),
        groups=[group_document(live, rows) for live in page],
        next_after=page[-1].group.id if start + limit < len(fitting) else None,
    )


def _until(groups: list[LiveGroup], group_id: int) -> list[LiveGroup]:
    """The groups up to this one; all of them when it is not among them."""
    for number, live in enumerate(groups):
        if live.group.id == group_id:
            return groups[: number + 1]
    return groups


@router.get("/groups/{group_id}", summary="One group of copies", dependencies=[MAY_READ])
def get_group(
    collection: CollectionPath, group_id: GroupId, service: TheService, sorting: TheSorting
) -> DuplicateGroup:
    known = service.collection(collection)
    live = sorting.review.group(known, group_id)
    return group_document(live, sorting.review.rows(known, [live.group]))


@router.get("/calibration", summary="What is expected to be found", dependencies=[MAY_READ])
def get_calibration(
    collection: CollectionPath,
    service: TheService,
    encoder: Annotated[str | None, Query(max_length=500)] = None,
) -> CalibrationDocument:
    """Of each edit, the share of copies that is found at the thresholds learnt from the collection
    itself."""
    service.collection(collection)
    space = copies_space(service.catalog, collection, encoder)
    stored = DuplicateRecords(service.catalog).calibration(space.id)
    if stored is None:
        raise NotMadeYet(f"no copies were looked for in {collection!r} yet")
    return calibration_document(Calibration.from_json(stored.document))


@router.post("/verdicts", summary="Judge images and pairs", dependencies=[MAY_WRITE])
def judge(
    collection: CollectionPath, asked: Judgement, service: TheService, sorting: TheSorting
) -> Judgement:
    """Remembered in the catalog for ever: `keep` and `remove` of an image, `not_duplicates` of the
    contents of a pair. An image that is named more than once gets the last of keep, remove,
    undecided. Nothing is done to files."""
    known = service.collection(collection)
    verdicts: dict[int, Verdict | None] = dict.fromkeys(asked.keep, Verdict.KEEP)
    verdicts |= dict.fromkeys(asked.remove, Verdict.REMOVE)
    verdicts |= dict.fromkeys(asked.undecided)
    sorting.review.judge(known, verdicts)
    for pairs, are_copies in ((asked.not_duplicates, False), (asked.duplicates, True)):
        sorting.review.judge_pairs(known, [(one, two) for one, two in pairs], are_copies=are_copies)
    return asked


@router.post("/mark", summary="Judge groups by a rule", dependencies=[MAY_WRITE])
def mark(
    collection: CollectionPath, asked: Marking, service: TheService, sorting: TheSorting
) -> Marked:
    """Of each group the first by the rule is to be kept, the others to be removed."""
    known = service.collection(collection)
    rule = None if asked.keep is None else parse_keep(asked.keep)
    view = sorting.review.view(known)
    if view is None:
        return Marked(groups=0, kept=0, removed=0)
    wanted = None if asked.groups is None else set(asked.groups)
    chosen = [
        live
        for live in view.chosen(
            {Relation(each) for each in asked.relations},
            Status.ALL if asked.decided_too else Status.OPEN,
        )
        if wanted is None or live.group.id in wanted
    ]
    groups, kept, removed = sorting.review.judge_by_rule(known, rule, chosen)
    return Marked(groups=groups, kept=kept, removed=removed)


# ------------------------------------------------------------------------ plans


@router.post(
    "/plans",
    summary="Make a plan",
    status_code=status.HTTP_201_CREATED,
    dependencies=[MAY_WRITE],
)
def make_plan(
    collection: CollectionPath, asked: PlanAsked, service: TheService, sorting: TheSorting
) -> Plan:
    """What would be done about the images that are marked to be removed, file by file. Nothing is
    done yet. The last copy of a picture is never in a plan."""
    known = service.collection(collection)
    view = sorting.review.view(known)
    if view is None:
        raise NotMadeYet(f"no copies were looked for in {collection!r} yet")
    groups = list(view.chosen({Relation(each) for each in asked.relations}))
    concerned = [live for live in groups if live.verdicts or asked.open_ones_too]
    made = sorting.plans.make(
        known,
        concerned,
        sorting.review.rows(known, (live.group for live in concerned)),
        action=Action(asked.action),
        keep_rule=str(view.report.request["keep"]),
        open_ones_too=asked.open_ones_too,
    )
    return plan_document(made)


@router.get("/plans", summary="Plans and what became of them", dependencies=[MAY_READ])
def list_plans(
    collection: CollectionPath,
    service: TheService,
    sorting: TheSorting,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PlanList:
    found = sorting.plans.all(service.collection(collection), limit)
    return PlanList(plans=[plan_document(each) for each in found])


@router.get("/plans/{plan_id}", summary="What a plan does", dependencies=[MAY_READ])
def get_plan(
    collection: CollectionPath,
    plan_id: PlanId,
    service: TheService,
    sorting: TheSorting,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="`next_after`.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PlanPage:
    known = sorting.plans.one(service.collection(collection), plan_id)
    steps = known.plan.steps if known.plan else ()
    unplanned = known.plan.unplanned[:_MOST_LEFT_ALONE] if known.plan and not after else ()
    return PlanPage(
        plan=plan_document(known),
        steps=[step_document(step) for step in steps[after : after + limit]],
        left_alone=[LeftAlone(path=each.path, reason=each.reason) for each in unplanned],
        next_after=after + limit if after + limit < len(steps) else None,
    )


@router.post(
    "/plans/{plan_id}/apply",
    summary="Carry a plan out",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_ADMIN],
)
def apply_plan(
    collection: CollectionPath, plan_id: PlanId, service: TheService, sorting: TheSorting
) -> Response:
    """A job that moves the copies to the trash folder of the home. Each file's bytes are checked
    first, and nothing is deleted."""
    known = service.collection(collection)
    return accepted(sorting.apply(known, sorting.plans.one(known, plan_id)))


@router.post(
    "/plans/{plan_id}/undo",
    summary="Take a plan back",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    dependencies=[MAY_ADMIN],
)
def undo_plan(
    collection: CollectionPath, plan_id: PlanId, service: TheService, sorting: TheSorting
) -> Response:
    """A job that brings every file back to where it was."""
    known = service.collection(collection)
    return accepted(sorting.undo(known, sorting.plans.one(known, plan_id)))
