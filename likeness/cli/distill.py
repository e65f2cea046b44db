"""`likeness distill`: a small encoder from a larger one, on the user's own photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from likeness.cli.options import json_option
from likeness.cli.output import emit_json, note
from likeness.errors import InputError
from likeness.runtime import SHIPPED_ENCODER
from likeness.settings import Settings


@click.command()
@click.argument("photos", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with everything that can be set (docs/distillation.md).",
)
@click.option(
    "--teacher",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Weights of a timm Vision Transformer with a class head (.safetensors).",
)
@click.option("--architecture", help="timm name of the teacher's architecture.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for checkpoints, log and the finished weights.",
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so much training.")
@click.option("--epochs", type=click.FloatRange(min=0), help="Passes over the photos.")
@json_option
@click.pass_obj
def distill(
    settings: Settings,
    *,
    photos: tuple[Path, ...],
    config_path: Path | None,
    teacher: Path | None,
    architecture: str | None,
    output: Path | None,
    minutes: float | None,
    epochs: float | None,
    as_json: bool,
) -> int:
    """Train a small, fast encoder from a larger one on PHOTOS (folders or WebDataset shards).

    Needs no labels: the student learns to answer as the teacher does. Killed or stopped, it goes
    on from its last checkpoint when the same command is run again.
    """
    # Training brings torch along, which the other commands do not wait for.
    from training.config import DistillConfig, PublishConfig, load_config
    from training.distill import run
    from training.release import release

    if config_path is not None:
        config = load_config(config_path)
    elif output is not None and teacher is not None and photos:
        config = DistillConfig(output=output)
    else:
        raise InputError("name PHOTOS, --teacher and --output, or a --config that does")
    config = dataclasses.replace(
        config,
        output=output or config.output,
        device=settings.device if settings.device != "auto" else config.device,
        data=dataclasses.replace(config.data, photos=photos or config.data.photos),
        teacher=dataclasses.replace(
            config.teacher,
            weights=teacher or config.teacher.weights,
            architecture=architecture or config.teacher.architecture,
        ),
        schedule=dataclasses.replace(
            config.schedule,
            minutes=config.schedule.minutes if minutes is None else minutes,
            epochs=config.schedule.epochs if epochs is None else epochs,
        ),
    )
    if config.publish is None:
        config = dataclasses.replace(config, publish=PublishConfig(config.output / "encoder"))
    assert config.publish is not None
    encoder = f"{SHIPPED_ENCODER}@{config.publish.folder}"
    scores = run(config, report=note)
    release(config, report=note)
    if as_json:
        emit_json(
            {
                "schema": "likeness.distill/1",
                "output": config.output,
                "encoder": encoder,
                "held_out": dataclasses.asdict(scores),
            }
        )
    else:
        click.echo(f"{config.output}: held out: {scores}")
        click.echo(f"use it with: likeness index SOURCE --encoder {encoder}")
    return 0
