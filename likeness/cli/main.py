"""The `likeness` command. Here, and nowhere else, errors become words and an exit status."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from likeness import __version__
from likeness.errors import LikenessError
from likeness.settings import load_settings, setting_origins
from likeness.telemetry.logs import configure_logging
from likeness.telemetry.tracing import configure_tracing, shut_down_tracing

# command → (module with a click command of that name, its line in the overview). A literal table,
# so that `likeness --help` imports neither torch nor a database.
COMMANDS: dict[str, tuple[str, str]] = {
    "index": ("likeness.cli.index", "Scan, decode, embed and store images; safe to repeat."),
    "search": ("likeness.cli.search", "Find images by words, by picture, or by both."),
    "explain": ("likeness.cli.explain", "Show why an image matched: what it shares, and where."),
    "duplicates": ("likeness.cli.duplicates", "Groups of copies, the best image of each first."),
    "check": ("likeness.cli.check", "Say whether an image is already there, before adding it."),
    "apply": ("likeness.cli.apply", "Carry out a plan of `duplicates --plan`; can be undone."),
    "undo": ("likeness.cli.undo", "Bring back what a plan took away."),
    "cluster": ("likeness.cli.cluster", "Sort the collection into named, correctable clusters."),
    "images": ("likeness.cli.images", "List images and what is known of them."),
    "status": ("likeness.cli.status", "Show what there is, in which spaces, and how fresh."),
    "collections": ("likeness.cli.collections", "List, make and delete collections."),
    "models": ("likeness.cli.models", "List the encoders and recommend one."),
    "remove": ("likeness.cli.remove", "Take images out of a collection; files stay untouched."),
    "reindex": ("likeness.cli.reindex", "Rebuild indexes, retry failures, add an encoder."),
    "migrate": ("likeness.cli.migrate", "Change the encoder while the present one answers."),
    "eval": ("likeness.cli.eval", "Measure retrieval on images whose right answers are known."),
    "serve": ("likeness.cli.serve", "Serve the HTTP API and the web page."),
    "worker": ("likeness.cli.worker", "Take queued work, when one machine is not enough."),
    "jobs": ("likeness.cli.jobs", "Queued work: how far it is; cancel it, try it again."),
    "keys": ("likeness.cli.keys", "Make, list and revoke keys of the HTTP API."),
    "watch": ("likeness.cli.watch", "Keep a collection in step with a folder as it changes."),
    "doctor": ("likeness.cli.doctor", "Check that everything is in order; say what to do if not."),
    "backup": ("likeness.cli.backup", "Copy everything that cannot be made again, while it works."),
    "restore": ("likeness.cli.restore", "Bring a backup back."),
    "upgrade": ("likeness.cli.upgrade", "Bring the database to this version's schema."),
    "distill": ("likeness.cli.distill", "Train a small encoder from a larger one on your photos."),
}


class _LazyGroup(click.Group):
    """Imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.{cmd_name} is not a command")
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="likeness")
@click.option("--home", type=click.Path(path_type=Path), help="Folder of catalog and indexes.")
@click.option("--database-url", help="SQL database; default: a SQLite file in the home.")
@click.option("--weights", type=click.Path(path_type=Path), help="Folder with encoder weights.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]))
@click.option("--batch-size", type=int, help="Images per forward pass; default: by memory.")
@click.option("--threads", type=int, help="CPU threads; default: all cores.")
@click.option("--offline", is_flag=True, default=None, help="Never ask the model hub.")
@click.pass_context
def cli(ctx: click.Context, /, **flags: Any) -> None:
    """Image search for people who own images: by picture, by words, and by both.

    Settings come from flags, LIKENESS_* variables and likeness.toml in the home, in that order;
    `likeness status --settings` prints them. Exit status: 0 done, 1 done with failures listed,
    2 usage or input error.
    """
    settings = ctx.obj = load_settings(**flags)
    ctx.meta["likeness.origins"] = setting_origins(settings, **flags)
    if settings.log_format == "json":  # servers and workers set up text as well
        configure_logging("json", settings.log_level)
    if settings.traces:
        configure_tracing(settings.traces, ctx.invoked_subcommand or "likeness")
        ctx.call_on_close(shut_down_tracing)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status instead of leaving the process."""
    try:
        status = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="likeness",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return 2
    except LikenessError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has left: nothing is wrong.
        sys.stdout = None
        return 0
    return status if isinstance(status, int) else 0
