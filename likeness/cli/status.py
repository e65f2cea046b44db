"""`likeness status`: what there is, in which spaces, how fresh, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping

import click

from likeness.catalog.records import CollectionSummary, SnapshotState
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, print_table, size_text
from likeness.runtime import SHIPPED_ENCODER, WANTED_ENCODER, Runtime
from likeness.settings import Settings


@click.command()
@click.option("--collection", metavar="NAME", help="Only this collection; default: all.")
@click.option("--settings", "show_settings", is_flag=True, help="Every setting and its origin.")
@json_option
@click.pass_context
def status(
    ctx: click.Context, *, collection: str | None, show_settings: bool, as_json: bool
) -> int:
    """Show collections, spaces, indexes and failures; with --settings, the settings in force."""
    settings: Settings = ctx.obj
    if show_settings:
        _show_settings(settings, ctx.meta["likeness.origins"], as_json=as_json)
        return 0
    with Runtime(settings) as runtime:
        summaries = runtime.catalog.collections()
        if collection is not None:
            wanted = runtime.catalog.collection(collection)
            summaries = [s for s in summaries if s.collection.id == wanted.id]
        documents = [_describe(runtime, summary) for summary in summaries]
    if as_json:
        emit_json(
            {
                "schema": "likeness.status/1",
                "home": settings.home,
                "catalog": _without_password(settings.catalog_url),
                "collections": documents,
            }
        )
    else:
        _print(settings, documents)
    return 0


def _describe(runtime: Runtime, summary: CollectionSummary) -> dict[str, object]:
    counts = summary.counts
    return {
        "name": summary.collection.name,
        "revision": summary.collection.revision,
        "ready": counts.ready,
        "failed": counts.failed,
        "gone": counts.gone,
        "pending": counts.pending,
        "failures": dict(counts.failures),
        "spaces": [
            {
                "encoder": each.space.encoder,
                "fingerprint": each.space.fingerprint,
                "dim": each.space.dim,
                "answers": sorted(each.space.towers),
                "state": each.space.state,
                "embedded": each.embedded,
                "stored_bytes": each.stored_bytes,
                "shipped": each.space.encoder.startswith(SHIPPED_ENCODER),
                "index": _index_of(runtime, each.space.id, summary.collection.revision),
            }
            for each in summary.spaces
        ],
    }


def _index_of(runtime: Runtime, space_id: int, revision: int) -> dict[str, object] | None:
    for row in runtime.catalog.snapshots(space_id):
        if row.state == SnapshotState.CURRENT:
            return {
                "name": row.name,
                "kind": row.manifest.get("kind"),
                "images": row.manifest.get("count"),
                "built_at": row.created_at,
                "revisions_behind": revision - row.revision,
                "options": row.manifest.get("options"),
                "recall": row.manifest.get("recall"),
            }
    return None


def _print(settings: Settings, documents: list[dict[str, object]]) -> None:
    click.echo(f"home      {settings.home}")
    click.echo(f"catalog   {_without_password(settings.catalog_url)}")
    if not documents:
        click.echo("no collections yet: `likeness index FOLDER` makes one")
    for document in documents:
        click.echo()
        click.echo(
            f"{document['name']}: {document['ready']:,} ready, {document['failed']:,} failed, "
            f"{document['gone']:,} gone"
        )
        spaces = document["spaces"]
        if isinstance(spaces, list) and spaces:
            print_table(
                ("encoder", "answers", "d", "embedded", "vectors", "index"),
                [
                    (
                        space["encoder"],
                        "+".join(space["answers"]),
                        space["dim"],
                        space["embedded"],
                        size_text(space["stored_bytes"]),
                        _index_text(space["index"]),
                    )
                    for space in spaces
                ],
            )
            if any(space["shipped"] for space in spaces):
                click.echo(
                    f"{SHIPPED_ENCODER} is the small model that ships with Likeness; larger ones "
                    f"(such as {WANTED_ENCODER}) answer better: `likeness models --advise`"
                )
        failures = document["failures"]
        if isinstance(failures, Mapping) and failures:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in failures.items())
            click.echo(f"failures: {reasons} (`likeness images --failed`)")


def _index_text(index: object) -> str:
    if not isinstance(index, Mapping):
        return "none yet: searched exactly"
    text = f"{index['kind']}, {index['images']:,} images, {index['built_at']:%Y-%m-%d %H:%M}"
    return text + _recall_text(index["recall"])


def _recall_text(recall: object) -> str:
    """The lowest recall of each kind of query, filtered or not; nothing for an exact index."""
    if not isinstance(recall, Mapping) or "found" not in recall:
        return ""
    lowest = []
    for queries, by_filter in recall["found"].items():
        at_10, at_100 = (
            min(found[depth] for found in by_filter.values()) for depth in ("@10", "@100")
        )
        lowest.append(f"{queries} queries {at_10:.3f} and {at_100:.3f}")
    return f", recall@10 and @100 of {', of '.join(lowest)}"


def _show_settings(settings: Settings, origins: Mapping[str, str], *, as_json: bool) -> None:
    values = settings.model_dump(mode="json")
    values["database_url"] = _without_password(settings.database_url)
    if as_json:
        emit_json(
            {
                "schema": "likeness.settings/1",
                "settings": {
                    name: {"value": value, "from": origins[name]} for name, value in values.items()
                },
            }
        )
        return
    print_table(
        ("setting", "value", "from", "meaning"),
        [
            (name, "" if value is None else value, origins[name], field.description)
            for (name, value), field in zip(
                values.items(), type(settings).model_fields.values(), strict=True
            )
        ],
    )


def _without_password(url: str) -> str:
    """The URL with its password, if it has one, replaced by stars."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not at or ":" not in credentials:
        return url
    return f"{scheme}{separator}{credentials.split(':', 1)[0]}:***@{host}"
