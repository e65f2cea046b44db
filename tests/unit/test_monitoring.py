"""The dashboard and the alerts ask for numbers that the code has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from api.index_metrics import IndexMetrics
from api.metrics import Metrics
from likeness.telemetry.exposition import QueueCollector, TotalsCollector
from likeness.telemetry.totals import Totals
from workers.health import Health
from workers.metrics import WorkerMetrics

ROOT = Path(__file__).resolve().parents[2]
_METRIC = re.compile(r"\blikeness_[a-z_]+\b")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring) ?\(([^)]*)\)")
_LABEL = re.compile(r"\{([^}]*)\}")


def known() -> dict[str, set[str]]:
    """Every sample name that a process can expose → its labels."""
    metrics = Metrics()
    for labelled, labels in (
        (metrics.requests, ("GET", "/", "200")),
        (metrics.request_seconds, ("GET", "/")),
        (metrics.stage_seconds, ("encode",)),
        (metrics.ingested, ("added",)),
        (metrics.failures, ("corrupt",)),
    ):
        labelled.labels(*labels)
    worker = WorkerMetrics()
    worker.observe(Health(True, 1.0, 0, 0, None, 0.0))
    totals = Totals({"embed": 1.0}, {"embed": 1}, {"stored": 1}, {"corrupt": 1}, {"cuda:0 used": 1})
    other = CollectorRegistry()
    other.register(TotalsCollector(lambda: totals))
    found: dict[str, set[str]] = {}
    for registry in (metrics.registry, worker.registry, other):
        for family in registry.collect():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    for family in [*QueueCollector(list).collect(), *_index_families()]:
        found.setdefault(family.name, set()).update(getattr(family, "_labelnames", ()))
    return found


def _index_families() -> Iterator[Any]:
    yield from IndexMetrics.__new__(IndexMetrics)._families()


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of the dashboard and the alerts."""
    dashboard = json.loads((ROOT / "ops/grafana/likeness.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    rules = yaml.safe_load((ROOT / "ops/prometheus/alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_every_metric_that_is_asked_for_exists() -> None:
    names, asked = known(), set()
    for where, expression in expressions():
        for name in _METRIC.findall(expression):
            assert name in names, f"{where}: {name} is exposed by nobody"
            asked.add(name)
    assert len(asked) > 15


def test_every_label_that_is_grouped_or_chosen_by_exists() -> None:
    names = known()
    for where, expression in expressions():
        metrics = set(_METRIC.findall(expression))
        labels = {"instance", "job", "le"}.union(*(names[name] for name in metrics))
        used = {
            label.strip()
            for group in _GROUPING.findall(expression)
            for label in group.split(",")
            if label.strip()
        }
        used |= {
            re.split(r"[=!~]", part)[0].strip()
            for chosen in _LABEL.findall(expression)
            for part in chosen.split(",")
        }
        assert used <= labels, f"{where}: {used - labels}"


def test_the_numbers_that_the_issue_names_are_on_the_dashboard() -> None:
    asked = " ".join(expression for _, expression in expressions())
    for name in (
        "likeness_queue_pieces",
        "likeness_images_indexed_total",
        "likeness_index_failures_total",
        "likeness_gpu_memory_bytes",
        "likeness_stage_seconds_total",
    ):
        assert name in asked


def test_panels_have_places_of_their_own() -> None:
    dashboard = json.loads((ROOT / "ops/grafana/likeness.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_prometheus_scrapes_the_services_at_the_ports_that_they_answer_on() -> None:
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    api, worker = config["scrape_configs"]
    assert api["static_configs"][0]["targets"] == [
        f"api:{compose['api']['environment']['LIKENESS_PORT']}"
    ]
    (found,) = worker["dns_sd_configs"]
    for name in found["names"]:
        command = compose[name]["command"]
        assert command[command.index("--metrics-port") + 1] == str(found["port"])
    assert config["rule_files"] == ["alerts.yml"]


def test_what_nobody_counted_yet_is_exposed_without_error() -> None:
    assert b"likeness_worker" not in generate_latest(WorkerMetrics().registry)
