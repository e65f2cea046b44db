"""Options that several commands share, spelt once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_COLLECTION = "default"


def collection_option(function: F) -> F:
    """`--collection NAME`."""
    return click.option(
        "--collection",
        default=DEFAULT_COLLECTION,
        show_default=True,
        metavar="NAME",
        help="The set of images to work on.",
    )(function)


def json_option(function: F) -> F:
    """`--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="JSON on standard output, in a stable schema."
    )(function)


def where_option(function: F) -> F:
    """`--where FILTER`."""
    return click.option(
        "--where",
        metavar="FILTER",
        help="Only images that match, e.g. 'taken:2019..2021 camera:*Pixel*' (docs/where.md).",
    )(function)
