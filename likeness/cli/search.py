"""`likeness search`: words and pictures in, ranked images out."""

from __future__ import annotations

import re
from pathlib import Path

import click

from indexer.limits import source_limits
from indexer.sources import SourceLimits, UriReader, read_uri
from indexer.sources.uris import file_uri
from likeness.cli.options import collection_option, json_option, where_option
from likeness.cli.output import emit_json, note, print_table, size_text
from likeness.cli.sheet import search_sheet
from likeness.errors import QueryError
from likeness.runtime import SHIPPED_ENCODER, Runtime
from likeness.settings import Settings
from search.opening import open_searcher
from search.request import NEGATIVE_WEIGHT, Crop, IdTerm, ImageTerm, SearchRequest, Term, TextTerm
from search.rerank.registry import parse_chain
from search.response import SearchHit, SearchResponse

_WEIGHTED = re.compile(r"^(?P<value>.*)\^(?P<weight>-?\d+(?:\.\d+)?)$", re.DOTALL)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--text", "texts", multiple=True, metavar="WORDS", help="Further words.")
@click.option("--image", "images", multiple=True, metavar="FILE|URL", help="A query picture.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="An image of the collection.")
@click.option("--not", "not_texts", multiple=True, metavar="WORDS", help="Less of these words.")
@click.option("--not-image", "not_images", multiple=True, metavar="FILE|URL", help="Less of it.")
@click.option("--not-id", "not_ids", multiple=True, metavar="ID", help="Less of this image.")
@click.option("-k", "k", type=click.IntRange(1), default=20, show_default=True, help="Answers.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Skip the best so many.")
@click.option(
    "--encoder", "space", metavar="NAME", help="Ask this space; default: the fitting one."
)
@click.option(
    "--rerank",
    default="none",
    metavar="NAMES",
    help="Re-rankers in order, e.g. qe,kreciprocal (docs/reranking.md); default: none.",
)
@click.option(
    "--max-false",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Only hits so good that a search without a match gets one with chance P at most, "
    "e.g. 0.01; for pictures.",
)
@click.option(
    "--crop",
    metavar="L,T,R,B",
    help="The part of the --image pictures that counts, as shares of their sides: 0,0,0.5,1 is "
    "the left half.",
)
@click.option("--after", metavar="CURSOR", help="The next page: next_cursor of the one before.")
@click.option("--paths", is_flag=True, help="Paths only, one a line, best first.")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="OUT.png",
    help="Write a contact sheet of the query and its answers.",
)
@where_option
@collection_option
@json_option
@click.pass_obj
def search(
    settings: Settings,
    *,
    words: tuple[str, ...],
    texts: tuple[str, ...],
    images: tuple[str, ...],
    ids: tuple[str, ...],
    not_texts: tuple[str, ...],
    not_images: tuple[str, ...],
    not_ids: tuple[str, ...],
    k: int,
    offset: int,
    space: str | None,
    rerank: str,
    max_false: float | None,
    crop: str | None,
    after: str | None,
    paths: bool,
    sheet: Path | None,
    where: str | None,
    collection: str,
    as_json: bool,
) -> int:
    """Find images by WORDS, by picture, by stored image, or by several of them together.

    Each may be given more than once and carry a weight after a caret, as in --image a.jpg^2 or
    "sunset^0.5". What --not, --not-image and --not-id name is moved away from.
    """
    limits = source_limits(settings)
    terms: list[Term] = []
    all_texts = ([" ".join(words)] if words else []) + list(texts)
    for sign, given in ((1.0, all_texts), (NEGATIVE_WEIGHT, not_texts)):
        terms += [TextTerm(value, weight) for value, weight in _weighted(given, sign)]
    for sign, given, box in ((1.0, images, _crop(crop)), (NEGATIVE_WEIGHT, not_images, None)):
        terms += [
            _image_term(value, weight, limits, box) for value, weight in _weighted(given, sign)
        ]
    for sign, given in ((1.0, ids), (NEGATIVE_WEIGHT, not_ids)):
        terms += [IdTerm(_image_id(value), weight) for value, weight in _weighted(given, sign)]
    request = SearchRequest(
        tuple(terms),
        k=k,
        offset=offset,
        after=after,
        where=where,
        space=space,
        rerank=parse_chain(rerank),
        max_false=max_false,
    )
    with (
        UriReader(limits) as reader,
        Runtime(settings) as runtime,
        open_searcher(runtime, read_uri=reader.read) as searcher,
    ):
        response = searcher.search(collection, request)
        if sheet is not None:
            sheet.write_bytes(search_sheet(runtime, request, response, limits))
            note(f"contact sheet: {sheet}")
    for notice in response.notices:
        note(f"note: {notice.message}")
    if as_json:
        emit_json({"schema": "likeness.search/1", **response.as_dict()})
    elif paths:
        for hit in response.hits:
            click.echo(hit.image.path)
    else:
        _print(response)
    return 0


def _weighted(values: tuple[str, ...] | list[str], sign: float) -> list[tuple[str, float]]:
    """Values with the weight behind their caret, or without one the sign's own."""
    weighted = []
    for value in values:
        match = _WEIGHTED.match(value)
        if match is None:
            weighted.append((value, sign))
        else:
            weight = float(match["weight"])
            weighted.append((match["value"], weight if sign > 0 else -weight))
    return weighted


def _image_id(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise QueryError(
            f"--id {value}: ids are whole numbers; `likeness images` lists them"
        ) from None


def _crop(text: str | None) -> Crop | None:
    if text is None:
        return None
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        raise QueryError(
            f"--crop {text}: it is four numbers, left, top, right, bottom, such as 0,0,0.5,1"
        ) from None
    return left, top, right, bottom


def _image_term(value: str, weight: float, limits: SourceLimits, crop: Crop | None) -> ImageTerm:
    uri = value
    if not value.startswith(("http://", "https://")):
        uri = file_uri(Path(value).expanduser().absolute())
    return ImageTerm(read_uri(uri, limits=limits), value, weight, crop)


def _print(response: SearchResponse) -> None:
    if response.encoder.startswith(SHIPPED_ENCODER):
        note(f"answered by {response.encoder}, the small model that ships with Likeness")
    if not response.hits:
        click.echo(f"no image matches ({response.searched:,} in {response.collection})")
        return
    print_table(
        ("", "score", "p", "id", "path", "pixels", "taken", "size"),
        [_row(hit) for hit in response.hits],
    )


def _row(hit: SearchHit) -> tuple[object, ...]:
    facts = hit.image.facts
    return (
        hit.rank,
        f"{hit.score:.3f}",
        "" if hit.p is None else f"{hit.p:.2g}",
        hit.image_id,
        hit.image.path,
        f"{facts.width}×{facts.height}" if facts else "",
        facts.taken_at if facts else None,
        size_text(hit.image.size) if hit.image.size is not None else "",
    )
