"""`likeness doctor`: is everything in order, and what to do if not."""

from __future__ import annotations

from dataclasses import asdict

import click

from likeness.cli.checkup import Status, examine
from likeness.cli.options import json_option
from likeness.cli.output import emit_json
from likeness.settings import Settings


@click.command()
@click.option("--deep", is_flag=True, help="Also read the whole database and check every vector.")
@json_option
@click.pass_obj
def doctor(settings: Settings, *, deep: bool, as_json: bool) -> int:
    """Check disk, database, migrations, broker, weights, index checksums and GPU.

    Changes nothing. Exit status: 0 when nothing fails (warnings may be printed), 1 when
    something does.
    """
    findings = []
    for finding in examine(settings, deep=deep):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.status.value:<4}  {finding.check:<10}  {finding.detail}")
            if finding.remedy:
                click.echo(f"{'':<18}→ {finding.remedy}")
    worst = max((finding.status for finding in findings), key=list(Status).index)
    if as_json:
        emit_json(
            {
                "schema": "likeness.doctor/1",
                "status": worst,
                "findings": [asdict(finding) for finding in findings],
            }
        )
    return 1 if worst is Status.FAIL else 0
