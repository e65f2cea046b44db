"""`likeness models`: the encoders there are, and which one to take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

import click

from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note, print_table, size_text
from likeness.encoders.advise import Advice, Device, advise, parse_memory
from likeness.encoders.catalogue import Listing, list_models
from likeness.encoders.records import Purpose
from likeness.errors import InputError


class WithWeights(Protocol):
    """What this command needs of the settings."""

    @property
    def weights(self) -> Path | None: ...


@click.command()
@click.option(
    "--task",
    type=click.Choice([purpose.value for purpose in Purpose]),
    help="List only encoders for this; with --advise, what to recommend one for.",
)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True,
              help="Images at a time, for the estimates of memory.")  # fmt: skip
@click.option("--advise", "advising", is_flag=True, help="Recommend one, and say why.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), help="Where it is to run.")
@click.option("--memory", metavar="SIZE", help="How much memory it may take, e.g. 4G.")
@json_option
@click.pass_obj
def models(
    settings: WithWeights,
    *,
    task: str | None,
    batch: int,
    advising: bool,
    device: str | None,
    memory: str | None,
    as_json: bool,
) -> int:
    """List the encoders: what for, how large, under which licence, and whether they are here.

    Any other model name that timm or OpenCLIP knows can be used as well. Nothing is downloaded.
    """
    if advising:
        if task is None or memory is None:
            raise InputError("--advise needs --task and --memory, e.g. --task words --memory 4G")
        found = advise(
            Purpose(task),
            cast(Device, device or "cpu"),
            parse_memory(memory),
            weights_dir=settings.weights,
        )
        if as_json:
            emit_json({"schema": "likeness.advice/1"} | _advice(found))
        else:
            _say(found)
        return 0
    if device is not None or memory is not None:
        raise InputError("--device and --memory go with --advise")
    rows = list_models(settings.weights, batch=batch)
    if task is not None:
        rows = [row for row in rows if Purpose(task) in row.record.purposes]
    if as_json:
        emit_json({"schema": "likeness.models/1", "models": [_row(row) for row in rows]})
    else:
        _table(rows, batch)
    return 0


def _table(rows: list[Listing], batch: int) -> None:
    print_table(
        ("encoder", "family", "for", "parameters", "dim", "px", "pooling",
         "fp32 weights", "+ batch", "half weights", "+ batch", "licence", "here"),
        [
            (
                row.record.name,
                row.record.family,
                " ".join(row.record.purposes),
                _millions(row.record.parameters, row.record.text_parameters),
                row.record.dim,
                row.record.input_size,
                row.record.pooling,
                size_text(row.full.weights),
                size_text(row.full.activations),
                size_text(row.half.weights),
                size_text(row.half.activations),
                row.record.licence,
                "yes" if row.status.present else "",
            )
            for row in rows
        ],
    )  # fmt: skip
    note(
        f"+ batch: estimated memory of {batch} images on their way through. Parameters: image "
        "tower + text tower. `likeness models --advise --task words --memory 4G` recommends one."
    )


def _say(advice: Advice) -> None:
    click.echo(advice.choice.record.name)
    for reason in advice.reasons:
        click.echo(f"  - {reason}")
    if advice.without_strings is not None:
        other = advice.without_strings.record
        click.echo(f"For any use: {other.name} ({other.licence})")
    if advice.here is not None:
        click.echo(f"Already on this machine: {advice.here.record.name}")


def _advice(advice: Advice) -> dict[str, Any]:
    return {
        "choice": _row(advice.choice),
        "precision": advice.precision,
        "reasons": list(advice.reasons),
        "for_any_use": _row(advice.without_strings) if advice.without_strings else None,
        "here": _row(advice.here) if advice.here else None,
    }


def _row(row: Listing) -> dict[str, Any]:
    record = row.record
    return {
        "name": record.name,
        "family": record.family,
        "purposes": [purpose.value for purpose in record.purposes],
        "parameters": record.parameters,
        "text_parameters": record.text_parameters,
        "dim": record.dim,
        "input_size": record.input_size,
        "pooling": record.pooling,
        "pooling_note": record.pooling_note,
        "giga_flops": record.giga_flops,
        "zero_shot": record.zero_shot,
        "licence": record.licence,
        "batch": row.batch,
        "bytes": {
            "fp32": {"weights": row.full.weights, "activations": row.full.activations},
            "half": {"weights": row.half.weights, "activations": row.half.activations},
        },
        "here": row.status.present,
        "where": row.status.where,
        "mirror_file": f"{row.mirror_file}.safetensors",
    }


def _millions(image: int, text: int) -> str:
    return f"{image / 1e6:.1f} M" + (f" + {text / 1e6:.1f} M" if text else "")
