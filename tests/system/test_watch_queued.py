"""`likeness watch` with a broker: it hands the work to workers, one job at a time."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from likeness.catalog import Catalog
from likeness.catalog.serving.jobs import Jobs, JobState
from tests.fakes.pictures import draw_picture, write_pictures
from tests.system.lab import QUICK, fake_worker
from tests.system.stack import ROOT, WORKER, Stack, wait_until

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.usefixtures("servers")]


def test_a_watched_folder_is_followed_by_workers(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_pictures(folder)
    with Stack(
        tmp_path / "stack", workers=1, worker=fake_worker(), encoder="fake:colours", **QUICK
    ) as stack:
        watcher = subprocess.Popen(
            [*WORKER[:-1], "watch", "--settle", "0.3", str(folder)],
            env=stack.environment, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            with Catalog.open(stack.database_url) as catalog:

                def ready() -> int:
                    summaries = catalog.collections()
                    return summaries[0].counts.ready if summaries else 0

                wait_until(lambda: ready() == 12, 90, "what was there is indexed")
                for seed in range(3):
                    draw_picture(100 + seed).save(folder / f"new{seed}.png")
                (folder / "picture000.jpg").unlink()
                wait_until(lambda: ready() == 14, 90, "what changed is followed")
                watcher.send_signal(signal.SIGINT)
                said = watcher.communicate(timeout=60)[0]
                assert watcher.returncode == 0, said
                assert "Traceback" not in said
                jobs = Jobs(catalog).recent()
                assert 2 <= len(jobs) <= 5
                assert all(job.state in (JobState.DONE, JobState.RUNNING) for job in jobs)
        finally:
            watcher.kill()
            watcher.wait()
