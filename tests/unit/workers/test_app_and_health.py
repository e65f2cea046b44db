"""How the Celery app is set, what a worker says of itself, and what its processes are told."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from likeness.errors import SettingsError
from likeness.settings import Settings, load_settings
from tests.fakes.worker_process import worker_settings
from tests.services.postgres import free_port
from workers.app import make_app
from workers.health import STALE_S, Health, published, read
from workers.kinds import KINDS, LONG, LONG_LIMIT_S, QUEUE_OF, QUEUES, task_name
from workers.orders import Orders
from workers.tasks import HANDLERS, register


def health(*, healthy: bool = True, at: float | None = None) -> Health:
    trouble = None if healthy else "its work hangs"
    return Health(healthy, 1.5, 3, 0, trouble, time.time() if at is None else at)


def test_without_a_broker_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LIKENESS_BROKER_URL"):
        make_app(load_settings(home=tmp_path))


def test_a_time_limit_near_the_visibility_timeout_is_refused(tmp_path: Path) -> None:
    settings = worker_settings(tmp_path, queue_limit_s=1801, queue_visibility_s=3600)
    with pytest.raises(SettingsError, match="LIKENESS_QUEUE_LIMIT_S"):
        make_app(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", True),
        ("worker_prefetch_multiplier", 1),
        ("task_ignore_result", True),
        ("result_backend", None),
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("task_retry_on_worker_lost", True),
    ],
)
def test_the_traps_of_the_docs_are_met_by_settings(
    tmp_path: Path, name: str, value: object
) -> None:
    app = make_app(worker_settings(tmp_path))
    assert app.conf[name] == value
    assert not app.conf.get("task_reject_on_worker_lost")
    assert app.conf.task_annotations["*"]["max_retries"] <= 5


def test_every_kind_has_a_queue_a_handler_and_a_time_limit(tmp_path: Path) -> None:
    assert set(HANDLERS) == set(KINDS)
    assert set(QUEUE_OF.values()) <= set(QUEUES)
    settings: Settings = worker_settings(tmp_path)
    app = make_app(settings)
    register(app, lambda: pytest.fail("no process is asked for until a task runs"))
    for kind in KINDS:
        limit = app.tasks[task_name(kind)].time_limit
        expected = LONG_LIMIT_S if kind in LONG else settings.queue_limit_s
        assert (limit or settings.queue_limit_s) == expected
    assert app.conf.task_time_limit == settings.queue_limit_s


def test_what_a_worker_says_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    with published(file, None) as publish:
        publish(health())
        assert read(file)[0]
        publish(health(healthy=False))
        healthy, said = read(file)
        assert not healthy
        assert said["trouble"] == "its work hangs"
        publish(health(at=time.time() - STALE_S - 1))
        healthy, said = read(file)
        assert not healthy
        assert "silent" in said["trouble"]
    assert not file.exists()
    assert not read(file)[0]


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_health_file_that_is_none_is_not_healthy(tmp_path: Path, text: str) -> None:
    file = tmp_path / "health.json"
    file.write_text(text)
    healthy, said = read(file)
    assert not healthy
    assert said["trouble"]


def test_health_over_http_is_200_while_it_is_healthy_and_fresh() -> None:
    port = free_port()

    def status(path: str = "/healthz") -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                assert json.load(answer)["healthy"] is True
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with published(None, port) as publish:
        assert status() == 503
        publish(health())
        assert status() == 200
        assert status("/elsewhere") == 404
        publish(health(healthy=False))
        assert status() == 503
        with pytest.raises(SettingsError, match="--health-port"), published(None, port):
            pass


def test_orders_come_out_as_they_went_in(tmp_path: Path) -> None:
    settings = worker_settings(tmp_path).model_dump(mode="json")
    orders = Orders(settings, ["gpu", "io"], 2, str(tmp_path), "INFO")
    again = Orders.from_text(orders.as_text())
    assert again == orders
    assert load_settings(**again.settings) == worker_settings(tmp_path)
