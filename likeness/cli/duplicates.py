"""`likeness duplicates`: groups of copies, the best image of each first."""

from __future__ import annotations

from pathlib import Path

import click

from indexer.limits import source_limits
from indexer.sources import UriReader
from likeness.catalog import Catalog
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.where import parse_where
from likeness.cli.options import collection_option, json_option, where_option
from likeness.cli.output import emit_json, note, print_table, size_text
from likeness.errors import ImageNotFound
from likeness.runtime import Runtime
from likeness.settings import Settings
from search.duplicates.calibrate import DEFAULT_MAX_FALSE, Calibration
from search.duplicates.documents import html_sheet, proof_text, report_document
from search.duplicates.finder import DuplicateFinder, DuplicateRequest
from search.duplicates.keep import parse_keep
from search.duplicates.opening import open_finder, side_of
from search.duplicates.plan import Action, write_plan
from search.duplicates.planning import make_plan
from search.duplicates.relations import Relation
from search.duplicates.report import DuplicateReport


@click.command()
@click.option(
    "--keep",
    default="best",
    show_default=True,
    metavar="RULE",
    help="Which one of a group comes first: best, largest, newest, oldest or path:PATTERN.",
)
@click.option(
    "--max-false",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=DEFAULT_MAX_FALSE,
    show_default=True,
    help="Share of images that may be shown with a false copy.",
)
@click.option(
    "--least",
    type=click.Choice([relation.value for relation in Relation][:-1]),
    default=Relation.EDITED_COPY.value,
    show_default=True,
    help="The loosest relation to show.",
)
@click.option(
    "--reference",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Images in this folder lead their groups and are never taken away.",
)
@click.option("--against", metavar="COLLECTION", help="Copies of what that collection holds.")
@click.option("--encoder", metavar="NAME", help="Look in this space; default: the fitting one.")
@click.option(
    "--plan",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PLAN.json",
    help="Write what would be done, for `likeness apply`.",
)
@click.option(
    "--action",
    type=click.Choice([action.value for action in Action]),
    default=Action.TRASH.value,
    show_default=True,
    help="What the plan does with the copies.",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the plan takes them; default: `trash` in the home.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="OUT.html",
    help="Write a page with the groups side by side.",
)
@click.option("--limit", type=click.IntRange(1), help="Show at most so many groups.")
@click.option("--recall", is_flag=True, help="Show which edits are found how often.")
@click.option("--recalibrate", is_flag=True, help="Learn the thresholds anew.")
@click.option(
    "--not-duplicates",
    nargs=2,
    type=int,
    multiple=True,
    metavar="ID ID",
    help="These two are no copies: remember it for ever.",
)
@where_option
@collection_option
@json_option
@click.pass_obj
def duplicates(
    settings: Settings,
    *,
    keep: str,
    max_false: float,
    least: str,
    reference: tuple[Path, ...],
    against: str | None,
    encoder: str | None,
    plan: Path | None,
    action: str,
    into: Path | None,
    sheet: Path | None,
    limit: int | None,
    recall: bool,
    recalibrate: bool,
    not_duplicates: tuple[tuple[int, int], ...],
    where: str | None,
    collection: str,
    as_json: bool,
) -> int:
    """Show groups of copies: same bytes, same pixels, and edited copies with their proof.

    Nothing is changed. With --plan, what would be done is written down; `likeness apply` does it
    and `likeness undo` takes it back. Thresholds are learnt from your own images, so that
    one image in a thousand is shown with a false copy (--max-false).
    """
    rule = parse_keep(keep)
    if against == collection:
        raise click.UsageError("--against names another collection than --collection")
    with Runtime(settings) as runtime:
        catalog = runtime.catalog
        if not_duplicates:
            _remember(catalog, collection, not_duplicates)
            return 0
        side = side_of(runtime, collection, encoder)
        other = side_of(runtime, against, side.space.encoder) if against else None
        only = None
        if where:
            only = catalog.filter_ids(side.space.collection_id, parse_where(where))
        request = DuplicateRequest(
            max_false=max_false,
            keep=rule,
            least=Relation(least),
            reference=[str(folder.absolute()) for folder in reference],
            only=only,
            recalibrate=recalibrate,
        )
        with (
            UriReader(source_limits(settings)) as reader,
            open_finder(runtime, side, reader.read, note=note) as finder,
        ):
            report = finder.find(request, other)
            if sheet is not None:
                _write_sheet(finder, report, sheet, f"Copies in {collection}", limit)
    if plan is not None:
        folder = into or settings.home / "trash"
        made = make_plan(
            report.groups,
            collection=collection,
            action=Action(action),
            folder=folder,
            keep_rule=rule.text,
        )
        write_plan(made, plan)
        note(
            f"plan: {plan} would take away {len(made.steps):,} files; "
            f"{len(made.unplanned):,} copies are not files here. Carry it out with "
            f"`likeness apply {plan}`"
        )
    if as_json:
        emit_json({"collection": collection, **report_document(report, limit)})
    else:
        _print(report, limit)
        if recall and report.calibration is not None:
            _print_recall(report.calibration)
    return 0


def _remember(catalog: Catalog, collection: str, pairs: tuple[tuple[int, int], ...]) -> None:
    collection_id = catalog.collection(collection).id
    known = catalog.images(collection_id, [image_id for pair in pairs for image_id in pair])
    for pair in pairs:
        for image_id in pair:
            if image_id not in known:
                raise ImageNotFound(image_id, collection)
    DuplicateRecords(catalog).not_duplicates(
        (known[first].sha256, known[second].sha256) for first, second in pairs
    )
    note(f"{len(pairs)} pairs will not be shown as copies again")


def _write_sheet(
    finder: DuplicateFinder, report: DuplicateReport, path: Path, title: str, limit: int | None
) -> None:
    page = html_sheet(report.groups[:limit], finder.picture, title)
    path.write_text(page, encoding="utf-8", errors="replace")
    note(f"sheet: {path}")


def _print(report: DuplicateReport, limit: int | None) -> None:
    rows = []
    for number, group in enumerate(report.groups[:limit], start=1):
        for member in group.members:
            facts = member.image.facts
            rows.append(
                (
                    number,
                    member.image.id,
                    "keep" if member.relation is None else proof_text(member),
                    f"{facts.width}×{facts.height}" if facts else "",
                    size_text(member.image.size) if member.image.size is not None else "",
                    member.image.path,
                )
            )
    if rows:
        print_table(("group", "id", "relation", "pixels", "size", "path"), rows)
    removable = [member for group in report.groups for member in group.removable]
    freed = size_text(sum(member.image.size or 0 for member in removable))
    click.echo(
        f"{len(report.groups):,} groups; {len(removable):,} images ({freed}) have a better copy. "
        f"{report.compared:,} pairs of {report.images:,} images were looked at"
    )
    if report.unreadable:
        click.echo(
            f"{len(report.unreadable):,} images could not be read, such as "
            f"{report.unreadable[0].path}"
        )


def _print_recall(calibration: Calibration) -> None:
    click.echo(
        f"expected of edited copies, at one false match in {1 / calibration.max_false:,.0f} images "
        f"(score {calibration.thresholds.copy_score:.2f}):"
    )
    print_table(
        ("edit", "strength", "copies tried", "shortlisted", "found"),
        [
            (each.edit, each.strength, each.copies, f"{each.shortlisted:.2f}", f"{each.found:.2f}")
            for each in calibration.recalls
        ],
    )
