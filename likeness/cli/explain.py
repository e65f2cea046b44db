"""`likeness explain`: why an image matched, as data and as a picture."""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image

from indexer.limits import source_limits
from indexer.sources import UriReader, read_uri
from indexer.sources.uris import file_uri
from likeness.cli.options import collection_option, json_option
from likeness.cli.output import emit_json, note
from likeness.errors import ImageNotFound, QueryError
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.types import RgbImage
from search.explain import Explanation
from search.explain import explain as explain_pair
from search.overlay import draw
from search.request import IdTerm, SearchRequest
from search.route import choose_space


@click.command()
@click.argument("image_id", type=int, metavar="ID")
@click.option("--image", metavar="FILE|URL", help="The query picture.")
@click.option("--id", "query_id", type=int, metavar="ID", help="An image as the query.")
@click.option("--encoder", "space", metavar="NAME", help="Ask this space; default: as search does.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="OUT.png",
    help="Write the picture: both images, what they share, and where the encoder looked.",
)
@collection_option
@json_option
@click.pass_obj
def explain(
    settings: Settings,
    *,
    image_id: int,
    image: str | None,
    query_id: int | None,
    space: str | None,
    out: Path | None,
    collection: str,
    as_json: bool,
) -> int:
    """Say why image ID matched a query picture: the region that both share and how it is mapped.

    Patches of the two pictures are matched and verified by one map (moved, scaled, turned,
    mirrored); the attention of the query's encoder says what it looked at.
    """
    if (image is None) == (query_id is None):
        raise QueryError("give the query as --image FILE or as --id ID, one of them")
    limits = source_limits(settings)
    with Runtime(settings) as runtime, UriReader(limits) as reader:
        known = runtime.catalog.collection(collection)

        def stored(number: int) -> tuple[RgbImage, str]:
            row = runtime.catalog.images(known.id, [number]).get(number)
            if row is None:
                raise ImageNotFound(number, collection)
            return runtime.load_image(reader.read(row.uri), row.path), row.path

        candidate, path = stored(image_id)
        if query_id is not None:
            query, query_name = stored(query_id)
        else:
            query_name = image or ""
            query = runtime.load_image(read_uri(_uri(query_name), limits=limits), query_name)
        request = SearchRequest((IdTerm(image_id),), space=space)
        chosen = choose_space(request, collection, runtime.catalog.spaces(known.id))
        encoder = runtime.encoder_of(chosen)
        found = explain_pair(encoder, query, candidate)
    if out is not None:
        Image.fromarray(draw(found, query, candidate)).save(out, "PNG")
        note(f"picture: {out}")
    if as_json:
        emit_json(
            {
                "schema": "likeness.explain/1",
                "id": image_id,
                "path": path,
                "query": query_name,
                "encoder": encoder.spec.name,
                **found.document(),
            }
        )
    else:
        for line in sentences(found):
            click.echo(line)
    return 0


def sentences(found: Explanation) -> list[str]:
    """The explanation in words, a line each."""
    lines = []
    verified = sum(match.verified for match in found.matches)
    region = found.region
    if region is not None:
        left, top, right, bottom = (round(100 * side) for side in region.query)
        corners = ", ".join(f"({100 * x:.0f} %, {100 * y:.0f} %)" for x, y in region.candidate)
        mirrored = ", mirrored" if region.mirrored else ""
        lines.append(
            f"{verified} of {len(found.matches)} matched patches obey one map "
            f"(evidence {found.evidence:.1f}; about 10 convinces)"
        )
        lines.append(
            f"shared: {left}–{right} % of the query's width, {top}–{bottom} % of its "
            f"height{mirrored}"
        )
        lines.append(f"in the match: {corners}")
    elif not found.missing or found.matches:
        lines.append(
            f"{len(found.matches)} patches match, but no map that enough of them obey: alike as a "
            "whole, not part by part"
        )
    return lines + list(found.missing)


def _uri(value: str) -> str:
    if value.startswith(("http://", "https://")):
        return value
    return file_uri(Path(value).expanduser().absolute())
