"""`likeness eval`: how good are the answers, on images whose right answers are known."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note, print_table
from likeness.encoders.interface import Encoder
from likeness.errors import QueryError
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.types import RgbImage
from search.evaluation.embedding import Failed, Pictures, embed_pictures
from search.evaluation.labels import LabelledSet, Protocol, class_counts, read_labels
from search.evaluation.runner import CUTS, Measured, evaluate
from search.rerank.interface import Context
from search.rerank.patch_store import PatchStore, StoredPatches, features_of
from search.rerank.registry import RERANKERS, needs_pixels, parse_chain

_LISTED_FAILURES = 10
_EVERY_VECTOR_ONE = tuple(record.name for record in RERANKERS if not record.needs_pixels)


@click.command()
@click.argument("labelled", type=click.Path(exists=True, path_type=Path), metavar="LABELS")
@click.option("--encoder", metavar="NAME", help="Encoder to measure; default: the set one.")
@click.option(
    "--rerank",
    "chains",
    multiple=True,
    metavar="CHAIN",
    help="Re-rankers to measure, e.g. qe,kreciprocal; may be given several times. "
    "Default: none, and each that works on vectors.",
)
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the images that a list or ground truth names; default: beside it.",
)
@click.option(
    "--protocol",
    type=click.Choice(["easy", "medium", "hard"]),
    default="medium",
    show_default=True,
    help="Of revisited Oxford and Paris.",
)
@click.option("--queries", type=click.IntRange(1), metavar="N", help="Only N random queries.")
@click.option(
    "--candidates",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Length of the shortlist that is re-ranked.",
)
@json_option
@click.pass_obj
def eval(  # noqa: A001 - the command is named so
    settings: Settings,
    *,
    labelled: Path,
    encoder: str | None,
    chains: tuple[str, ...],
    images: Path | None,
    protocol: Protocol,
    queries: int | None,
    candidates: int,
    as_json: bool,
) -> int:
    """Measure retrieval on LABELS: mAP, P@k, R@k and time per query, for each re-ranker.

    LABELS is a folder with a folder per class (each image asks for the others of its class), a
    .tsv list (a query and its positives on each line), or the ground truth of revisited Oxford or
    Paris (.pkl or .json). Vectors are kept in the home, so a second run is quick.
    """
    wanted = [parse_chain(text) for text in chains or ("none", *_EVERY_VECTOR_ONE)]
    truth = read_labels(labelled, images=images, protocol=protocol)
    if queries is not None and queries < len(truth.queries):
        chosen = sorted(random.Random(0).sample(range(len(truth.queries)), queries))
        truth = replace(truth, queries=tuple(truth.queries[i] for i in chosen))
    with Runtime(settings) as runtime:
        selected = runtime.choose_encoder(encoder)
        if selected.notice and encoder is None:
            note(selected.notice)
        measured, failures = _measure(runtime, truth, selected.encoder, wanted, candidates)
    if as_json:
        emit_json(
            {
                "schema": "likeness.eval/1",
                "labels": truth.name,
                **class_counts(truth),
                "encoder": selected.encoder.spec.name,
                "fingerprint": selected.encoder.fingerprint,
                "candidates": candidates,
                "results": [each.document() for each in measured],
                "failures": [{"path": f.path, "reason": f.reason} for f in failures],
            }
        )
    else:
        _print(truth, selected.encoder, measured)
    for failure in failures[:_LISTED_FAILURES]:
        note(f"not used: {failure.reason}")
    return 1 if failures else 0


def _measure(
    runtime: Runtime,
    truth: LabelledSet,
    encoder: Encoder,
    chains: Sequence[tuple[str, ...]],
    candidates: int,
) -> tuple[list[Measured], list[Failed]]:
    settings = runtime.settings
    home = settings.home / "evaluation"
    workers = settings.decode_workers or os.cpu_count() or 1
    limits = runtime.limits

    def embedded(pictures: Pictures, what: str) -> tuple[np.ndarray, list[Failed]]:
        total = len(pictures.files)
        return embed_pictures(
            pictures,
            encoder,
            cache=home,
            workers=workers,
            limits=limits,
            progress=_counter(f"embedding {what}", total),
        )

    gallery, failures = embedded(Pictures.whole(truth.gallery), "the gallery")
    rows = {path: number for number, path in enumerate(truth.gallery)}
    if all(query.box is None and query.image in rows for query in truth.queries):
        queries = gallery[[rows[query.image] for query in truth.queries]]
    else:
        queries, more = embedded(Pictures.of_queries(truth.queries), "the queries")
        failures += more
    patches_of = None
    if any(needs_pixels(chain) for chain in chains):
        patches_of = _patch_contexts(runtime, truth, encoder, home / encoder.fingerprint[:16])
    measured = evaluate(
        truth,
        gallery,
        queries,
        chains,
        candidates=candidates,
        patches_of=patches_of,
        progress=_counter("asking", len(truth.queries)),
    )
    return measured, failures


def _patch_contexts(
    runtime: Runtime, truth: LabelledSet, encoder: Encoder, folder: Path
) -> Callable[[int], Context]:
    """The context of each query for re-rankers that compare pixels."""

    def pixels(path: Path) -> RgbImage:
        return runtime.load_image(path.read_bytes(), str(path))

    if encoder.spec.patch_grid is None:
        features_of(encoder, [])  # raises with the reason
    source = StoredPatches(
        PatchStore(folder / truth.name), encoder, lambda number: pixels(truth.gallery[number])
    )

    def context(number: int) -> Context:
        query = truth.queries[number]
        if query.box is not None:
            raise QueryError(
                "the re-ranker patches compares whole images; leave it out for ground truth "
                "whose queries are boxes"
            )
        return Context(query_patches=features_of(encoder, [pixels(query.image)])[0], patches=source)

    return context


def _counter(what: str, total: int) -> Callable[[int], None]:
    """Shows how far it is: in place on a terminal, every tenth elsewhere."""
    step = max(1, total // 100 if sys.stderr.isatty() else total // 10)

    def show(done: int) -> None:
        if done % step and done != total:
            return
        if sys.stderr.isatty():
            click.echo(f"\r{what}: {done:,} of {total:,}", nl=done == total, err=True)
        else:
            note(f"{what}: {done:,} of {total:,}")

    return show


def _print(truth: LabelledSet, encoder: Encoder, measured: Sequence[Measured]) -> None:
    counts = class_counts(truth)
    click.echo(
        f"{truth.name}: {counts['queries']:,} queries among {counts['gallery']:,} images, "
        f"{encoder.spec.name}"
    )
    print_table(
        ("re-ranker", "mAP", *(f"P@{k}" for k in CUTS), *(f"R@{k}" for k in CUTS), "ms", "95 %"),
        [
            (
                each.chain,
                f"{each.mean_average_precision:.4f}",
                *(f"{each.precision[k]:.3f}" for k in CUTS),
                *(f"{each.recall[k]:.3f}" for k in CUTS),
                f"{each.milliseconds:.1f}",
                f"{each.slowest:.1f}",
            )
            for each in measured
        ],
    )
