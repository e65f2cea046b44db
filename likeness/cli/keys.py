"""`likeness keys`: who may ask the HTTP API."""

from __future__ import annotations

import click

from likeness.catalog.serving.keys import ApiKey, ApiKeys, Scope
from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note, print_table
from likeness.runtime import Runtime
from likeness.settings import Settings


@click.group()
def keys() -> None:
    """Make, list and revoke keys of the HTTP API.

    The catalog keeps a hash of each key, so a key is shown once, when it is made. Once there has
    been a key, the API answers nobody without one.
    """


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.READ.value,
    show_default=True,
    help="read: search and look. write: also add, tag, remove. admin: everything.",
)
@json_option
@click.pass_obj
def create(settings: Settings, *, name: str, scope: str, as_json: bool) -> int:
    """Make a key; NAME says for whom or what it is."""
    with Runtime(settings) as runtime:
        kept, key = ApiKeys(runtime.catalog).create(name, Scope(scope))
    if as_json:
        emit_json({"schema": "likeness.key/1", "key": key, **_document(kept)})
    else:
        note(f"key {kept.public_id} ({scope}) for {name}; it is not shown again:")
        click.echo(key)
    return 0


@keys.command("list")
@json_option
@click.pass_obj
def list_keys(settings: Settings, *, as_json: bool) -> int:
    """List keys, revoked ones too."""
    with Runtime(settings) as runtime:
        found = ApiKeys(runtime.catalog).all()
    if as_json:
        emit_json({"schema": "likeness.keys/1", "keys": [_document(key) for key in found]})
    else:
        print_table(
            ("id", "name", "scope", "made", "revoked"),
            [(k.public_id, k.name, k.scope.value, k.created_at, k.revoked_at) for k in found],
        )
    return 0


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@json_option
@click.pass_obj
def revoke(settings: Settings, *, key_id: str, as_json: bool) -> int:
    """Make a key useless; a running service notices within seconds."""
    with Runtime(settings) as runtime:
        revoked = ApiKeys(runtime.catalog).revoke(key_id)
    if as_json:
        emit_json({"schema": "likeness.key/1", **_document(revoked)})
    else:
        click.echo(f"revoked {revoked.public_id} ({revoked.name})")
    return 0


def _document(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.public_id,
        "name": key.name,
        "scope": key.scope,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
