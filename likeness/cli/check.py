"""`likeness check`: is this image already there?"""

from __future__ import annotations

import os
from pathlib import Path

import click

from indexer.limits import source_limits
from indexer.sources import UriReader
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import emit_json, note, print_table
from likeness.errors import ImageError, UnreadableSource
from likeness.runtime import Runtime
from likeness.settings import Settings
from search.duplicates.calibrate import Calibration
from search.duplicates.check import Checker, Match
from search.duplicates.documents import pair_text
from search.duplicates.opening import side_of
from search.duplicates.pictures import PooledLoader
from search.duplicates.planning import evidence_document
from search.duplicates.relations import Relation, Thresholds


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE...",
)
@click.option(
    "--least",
    type=click.Choice([relation.value for relation in Relation][:-1]),
    default=Relation.EDITED_COPY.value,
    show_default=True,
    help="The loosest relation that counts as being there.",
)
@click.option("--encoder", metavar="NAME", help="Look in this space; default: the fitting one.")
@collection_option
@json_option
@click.pass_obj
def check(
    settings: Settings,
    *,
    files: tuple[Path, ...],
    least: str,
    encoder: str | None,
    collection: str,
    as_json: bool,
) -> int:
    """Say of each FILE whether the collection already has it, how related, and the proof.

    Nothing is stored. With --json, one document per file. Exit status 1: a file cannot be read.
    """
    failed = False
    limits = source_limits(settings)
    with Runtime(settings) as runtime, UriReader(limits) as reader:
        side = side_of(runtime, collection, encoder)
        stored = DuplicateRecords(runtime.catalog).calibration(side.space.id)
        thresholds = Calibration.from_json(stored.document).thresholds if stored else Thresholds()
        if stored is None:
            note("thresholds not learnt yet (`likeness duplicates` does): using the usual ones")
        workers = settings.decode_workers or max(1, len(os.sched_getaffinity(0)))
        with PooledLoader(reader.read, workers=workers, limits=runtime.limits) as loader:
            checker = Checker(
                runtime.catalog,
                side.space,
                runtime.encoder_of(side.space),
                loader,
                thresholds,
            )
            for path in files:
                try:
                    data = _read(path)
                    matches = checker.check(
                        data, runtime.load_image(data, str(path)), least=Relation(least)
                    )
                except ImageError as error:
                    failed = True
                    note(f"{error}")
                    continue
                _show(path, matches, as_json=as_json)
    return 1 if failed else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableSource(str(path), error.strerror or str(error)) from error


def _show(path: Path, matches: list[Match], *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "schema": "likeness.check/1",
                "file": path,
                "known": bool(matches),
                "matches": [match_document(match) for match in matches],
            }
        )
        return
    if not matches:
        click.echo(f"{path}: new")
        return
    click.echo(f"{path}: already there")
    print_table(
        ("id", "relation", "path"),
        [
            (match.image.id, pair_text(match.pair, match.pair.evidence), match.image.path)
            for match in matches
        ],
    )


def match_document(match: Match) -> dict[str, object]:
    """A match as JSON answers show it."""
    evidence = match.pair.evidence
    return {
        "id": match.image.id,
        "path": match.image.path,
        "uri": match.image.uri,
        "relation": match.relation,
        "score": round(match.pair.score, 4),
        "cosine": round(match.pair.cosine, 4),
        "hash_bits": match.pair.bits,
        "evidence": None if evidence is None else evidence_document(evidence),
    }
