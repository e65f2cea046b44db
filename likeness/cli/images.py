"""`likeness images`: what is known of each image."""

from __future__ import annotations

from collections.abc import Iterator

import click

from likeness.catalog import Catalog
from likeness.catalog.records import ImageRow
from likeness.catalog.where import parse_where
from likeness.cli.options import collection_option, json_option, where_option
from likeness.cli.output import emit_json, print_table, size_text
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.types import ImageState

_PAGE = 500


@click.command()
@click.option("--failed", is_flag=True, help="Those that cannot be used, with the reason.")
@click.option("--gone", is_flag=True, help="Those that vanished or were removed.")
@click.option("--id", "image_ids", type=int, multiple=True, help="Only these.")
@click.option("--limit", type=click.IntRange(1), default=None, help="At most so many.")
@click.option("--tag", "add_tags", multiple=True, metavar="TAG", help="Put a tag on them.")
@click.option("--untag", "drop_tags", multiple=True, metavar="TAG", help="Take a tag off them.")
@click.option("--paths", is_flag=True, help="Paths only, one a line.")
@where_option
@collection_option
@json_option
@click.pass_obj
def images(
    settings: Settings,
    *,
    failed: bool,
    gone: bool,
    image_ids: tuple[int, ...],
    limit: int | None,
    add_tags: tuple[str, ...],
    drop_tags: tuple[str, ...],
    paths: bool,
    where: str | None,
    collection: str,
    as_json: bool,
) -> int:
    """List images with their facts, or put tags on them. With --json, one image per line."""
    if failed and gone:
        raise click.UsageError("--failed and --gone exclude each other")
    state = ImageState.FAILED if failed else ImageState.GONE if gone else ImageState.READY
    with Runtime(settings) as runtime:
        catalog = runtime.catalog
        collection_id = catalog.collection(collection).id
        rows = _chosen(catalog, collection_id, where, state, image_ids, limit)
        if add_tags or drop_tags:
            chosen = [row.id for row in rows]
            catalog.add_tags(collection_id, chosen, add_tags)
            catalog.remove_tags(collection_id, chosen, drop_tags)
            found = catalog.images(collection_id, chosen)
            rows = iter([found[image_id] for image_id in chosen])
        if as_json:
            for row in rows:
                emit_json({"schema": "likeness.image/1", **image_document(row)})
        elif paths:
            for row in rows:
                click.echo(row.path)
        else:
            _print(rows, failed=failed)
    return 0


def image_document(row: ImageRow) -> dict[str, object]:
    """An image as the JSON answers show it."""
    facts = row.facts
    return {
        "id": row.id,
        "uri": row.uri,
        "path": row.path,
        "state": row.state,
        "reason": row.reason_code,
        "message": row.message,
        "sha256": row.sha256 or None,
        "size": row.size,
        "width": facts.width if facts else None,
        "height": facts.height if facts else None,
        "format": facts.format if facts else None,
        "taken_at": facts.taken_at if facts else None,
        "camera": _camera(row),
        "lens": facts.lens if facts else None,
        "latitude": facts.latitude if facts else None,
        "longitude": facts.longitude if facts else None,
        "added_at": row.added_at,
        "tags": sorted(row.tags),
        "fields": dict(row.fields),
    }


def _chosen(
    catalog: Catalog,
    collection_id: int,
    where: str | None,
    state: ImageState,
    image_ids: tuple[int, ...],
    limit: int | None,
) -> Iterator[ImageRow]:
    if image_ids:
        found = catalog.images(collection_id, list(image_ids))
        yield from (found[image_id] for image_id in image_ids if image_id in found)
        return
    condition = parse_where(where) if where else None
    after, left = 0, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = catalog.list_images(
            collection_id, where=condition, state=state, after_id=after, limit=size
        )
        yield from page
        if len(page) < size:
            return
        after = page[-1].id
        left = None if left is None else left - len(page)


def _print(rows: Iterator[ImageRow], *, failed: bool) -> None:
    if failed:
        print_table(
            ("id", "reason", "message"), [(row.id, row.reason_code, row.message) for row in rows]
        )
        return
    print_table(
        ("id", "path", "size", "pixels", "taken", "camera", "tags"),
        [
            (
                row.id,
                row.path,
                size_text(row.size) if row.size is not None else "",
                f"{row.facts.width}×{row.facts.height}" if row.facts else "",
                row.facts.taken_at if row.facts else None,
                _camera(row) or "",
                " ".join(sorted(row.tags)),
            )
            for row in rows
        ],
    )


def _camera(row: ImageRow) -> str | None:
    facts = row.facts
    if facts is None or not (facts.camera_make or facts.camera_model):
        return None
    make, model = facts.camera_make or "", facts.camera_model or ""
    return model if make and model.startswith(make) else f"{make} {model}".strip()
