"""`likeness remove`: images out of a collection; the files themselves are never touched."""

from __future__ import annotations

import click

from likeness.catalog import Catalog
from likeness.catalog.records import REMOVED
from likeness.catalog.where import parse_where
from likeness.cli.options import collection_option, json_option, where_option
from likeness.cli.output import emit_json
from likeness.errors import ImageNotFound, InputError
from likeness.runtime import Runtime
from likeness.settings import Settings


@click.command()
@click.argument("image_ids", nargs=-1, type=int, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do not ask before removing by filter.")
@where_option
@collection_option
@json_option
@click.pass_obj
def remove(
    settings: Settings,
    *,
    image_ids: tuple[int, ...],
    yes: bool,
    where: str | None,
    collection: str,
    as_json: bool,
) -> int:
    """Take images out of a collection, by id or by filter. The files stay where they are.

    They disappear from results at once and stay out when their source is indexed again, until
    `likeness index --restore` brings them back.
    """
    if bool(image_ids) == bool(where):
        raise InputError("name the images to remove by id, or by --where, but not by both")
    with Runtime(settings) as runtime:
        catalog = runtime.catalog
        collection_id = catalog.collection(collection).id
        chosen = _chosen(catalog, collection, collection_id, image_ids, where)
        if where and chosen and not yes:
            click.confirm(f"Remove {len(chosen):,} images from {collection}?", abort=True, err=True)
        removed = catalog.mark_gone(collection_id, chosen, reason_code=REMOVED)
    if as_json:
        emit_json({"schema": "likeness.remove/1", "collection": collection, "removed": removed})
    else:
        click.echo(f"removed {removed:,} images from {collection}")
    return 0


def _chosen(
    catalog: Catalog,
    collection: str,
    collection_id: int,
    image_ids: tuple[int, ...],
    where: str | None,
) -> list[int]:
    if where:
        return [int(i) for i in catalog.filter_ids(collection_id, parse_where(where))]
    known = catalog.images(collection_id, list(image_ids))
    for image_id in image_ids:
        if image_id not in known:
            raise ImageNotFound(image_id, collection)
    return list(image_ids)
