"""A worker as it is started for real: its metrics, its logs, and what the doctor finds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from indexer.service import IndexRequest
from likeness.catalog import Catalog
from likeness.settings import load_settings
from tests.fakes.pictures import write_pictures
from tests.services.postgres import free_port
from tests.system.stack import ROOT, WORKER, Stack, wait_until
from workers.queue import WorkQueue

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.usefixtures("servers")]


def scraped(port: int) -> dict[str, float]:
    """Sample (with its labels) → value, as Prometheus reads them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r"^(likeness\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_a_worker_tells_prometheus_and_its_log_what_it_does(tmp_path: Path) -> None:
    port = free_port()
    write_pictures(tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    worker = (*WORKER, "--metrics-port", str(port))
    with Stack(
        tmp_path / "stack",
        workers=1,
        worker=worker,
        encoder="likeness:tiny",
        decode_workers=1,
        log_format="json",
        queue_sweep_s=0.5,
    ) as stack:
        settings = load_settings(
            home=stack.home, database_url=stack.database_url, broker_url=stack.redis.url
        )
        with Catalog.open(settings.catalog_url) as catalog, WorkQueue(settings, catalog) as queue:
            job = queue.index(IndexRequest("default", sources=[str(tmp_path / "photos")]))
            wait_until(lambda: queue.jobs.get(job.id).state.final, 120, "the job has ended")
        wait_until(
            lambda: scraped(port).get('likeness_images_indexed_total{outcome="stored"}') == 12,
            30,
            "the metrics tell of twelve images",
        )
        found = scraped(port)
        assert found['likeness_index_failures_total{reason="corrupt"}'] == 1
        assert found["likeness_worker_healthy"] == 1
        assert found["likeness_worker_restarts_total"] == 0
        for stage in ("scan", "read", "decode", "embed", "commit"):
            assert found[f'likeness_stage_seconds_total{{stage="{stage}"}}'] > 0, stage
        assert found['likeness_stage_images_total{stage="embed"}'] == 12

        lines = _json_lines(stack.log("worker0"))
        failed = next(line for line in lines if line.get("reason") == "corrupt")
        assert failed["job_id"] == job.id
        assert failed["image_id"] > 0
        assert "broken.jpg" in failed["message"]

        doctor = subprocess.run(
            [*WORKER[:-1], "doctor", "--json"],
            env=stack.environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        findings = {f["check"]: f for f in json.loads(doctor.stdout)["findings"]}
        assert findings["broker"]["status"] == "ok"
        assert findings["database"]["detail"].startswith("PostgreSQL")
        assert findings["index"]["status"] == "ok"


def _json_lines(text: str) -> list[dict[str, Any]]:
    """Every line but what Celery or the interpreter say before logs are set up."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_database_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "LIKENESS_HOME": str(tmp_path),
        "LIKENESS_DATABASE_URL": f"postgresql+psycopg://u@127.0.0.1:{port}/db",
    }
    code = "from likeness.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "upgrade", "--wait", "1.5"],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("waiting:") >= 1
    assert "cannot be reached now" in done.stderr
