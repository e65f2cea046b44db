"""`likeness doctor` on homes that are in order, and on homes with one thing broken each."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.catalog import Catalog
from likeness.catalog.engine import make_engine, parse_url, writing
from likeness.catalog.serving.ledger import Ledger
from likeness.catalog.serving.work import NewWork
from likeness.cli import checkup
from likeness.cli import main as cli_main
from likeness.cli.checkup import Finding, Status, examine
from likeness.runtime import SHIPPED_ENCODER
from likeness.settings import Settings, load_settings
from tests.fakes.encoder import FakeEncoder
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.services.redis import RedisServer, find_redis
from workers.broker_health import BrokerHealth


class DiskUsage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with twelve images under the shipped encoder's name, indexed and published."""
    write_pictures(tmp_path / "photos")
    made = load_settings(home=tmp_path / "home", decode_workers=1)
    with FakeRuntime(made, FakeEncoder(SHIPPED_ENCODER)) as runtime:
        request = IndexRequest("default", sources=[str(tmp_path / "photos")])
        Indexer(runtime).index(request, Progress(), threading.Event())
    return made


def findings(settings: Settings, *, deep: bool = False) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings, deep=deep)}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_home_in_order_has_nothing_but_good_findings(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = findings(settings, deep=True)
    assert set(found) == {
        "disk", "home", "database", "migrations", "contents", "broker", "weights", "index", "gpu"
    }  # fmt: skip
    assert {name: f.status for name, f in found.items() if name != "disk"} == {
        name: Status.OK for name in found if name != "disk"
    }
    assert not any(f.remedy for f in found.values() if f.status is Status.OK)
    assert cli_main.run(["--home", str(settings.home), "doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "likeness.doctor/1"
    assert {f["check"] for f in document["findings"]} == set(found) - {"contents"}


def test_before_the_first_image_it_says_how_to_begin_and_makes_nothing(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    found = findings(settings)
    assert found["database"].status is Status.WARN
    assert "index something" in found["database"].remedy
    assert not settings.home.exists()


@pytest.mark.parametrize(
    ("revision", "remedy"), [("0001", "likeness upgrade"), ("9999", "upgrade Likeness")]
)
def test_a_schema_of_another_version_fails(
    settings: Settings, revision: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = make_engine(parse_url(settings.catalog_url))
    with writing(engine) as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    engine.dispose()
    found = findings(settings)
    assert found["migrations"].status is Status.FAIL
    assert remedy in found["migrations"].remedy
    assert "index" not in found  # nothing is read through a schema that is not ours
    assert cli_main.run(["--home", str(settings.home), "doctor"]) == 1
    assert f"→ {found['migrations'].remedy}" in capsys.readouterr().out


def test_a_damaged_index_fails_and_a_missing_one_warns(settings: Settings) -> None:
    vectors = next(settings.index_root.glob("*/*/r*/vectors.f16"))
    sound = vectors.read_bytes()
    vectors.chmod(0o644)
    vectors.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    found = findings(settings)["index"]
    assert (found.status, "SHA-256" in found.detail) == (Status.FAIL, True)
    assert "reindex --collection default --index-only" in found.remedy
    vectors.parent.rename(settings.home / "elsewhere")
    found = findings(settings)["index"]
    assert (found.status, "not on this machine" in found.detail) == (Status.WARN, True)


def test_damage_in_the_database_is_found_when_it_looks_deep(settings: Settings) -> None:
    engine = make_engine(parse_url(settings.catalog_url))
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE chunks SET data = zeroblob(length(data))")
    engine.dispose()
    assert "contents" not in findings(settings)
    found = findings(settings, deep=True)["contents"]
    assert found.status is Status.FAIL
    assert "chunk 1: it does not start with the chunk mark" in found.detail


def test_a_file_that_is_no_database_fails_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    (tmp_path / "catalog.sqlite3").write_bytes(b"no database at all" * 1000)
    found = findings(settings, deep=True)
    assert found["database"].status is Status.FAIL
    assert "restore a backup" in found["database"].detail
    assert {"disk", "broker", "gpu"} <= set(found)


def test_a_database_server_that_does_not_answer_fails(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://u:secret@127.0.0.1:{closed_port()}/db"
    found = findings(load_settings(home=tmp_path, database_url=url))["database"]
    assert found.status is Status.FAIL
    assert "start the database server" in found.remedy
    assert "secret" not in found.detail


@pytest.mark.services
def test_a_database_server_in_order_is_named_with_its_version(
    tmp_path: Path, postgres_url: str
) -> None:
    settings = load_settings(home=tmp_path, database_url=postgres_url)
    assert findings(settings)["database"].status is Status.WARN
    assert cli_main.run(["--home", str(tmp_path), "--database-url", postgres_url, "upgrade"]) == 0
    found = findings(settings)
    assert found["database"].detail.startswith("PostgreSQL 1")
    assert found["migrations"].status is Status.OK


def test_weights_that_cannot_be_had_fail_and_those_of_the_hub_warn(tmp_path: Path) -> None:
    name = "open_clip:ViT-B-32/laion2b_s34b_b79k"
    settings = load_settings(home=tmp_path / "home", decode_workers=1)
    write_pictures(tmp_path / "photos", 2)
    with FakeRuntime(settings, FakeEncoder(name)) as runtime:
        request = IndexRequest("default", sources=[str(tmp_path / "photos")])
        Indexer(runtime).index(request, Progress(), threading.Event())
    empty = tmp_path / "hub"
    empty.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(empty))
        patch.setenv("HF_HOME", str(empty))
        patch.setattr("likeness.encoders.weights.hub_cache", lambda: empty)
        found = findings(settings)["weights"]
        assert found.status is Status.WARN
        assert "hub:" in found.detail
        offline = settings.model_copy(update={"offline": True})
        assert findings(offline)["weights"].status is Status.FAIL
        assert "LIKENESS_WEIGHTS" in findings(offline)["weights"].remedy


@pytest.mark.parametrize(
    ("free", "status"), [(100 << 20, Status.FAIL), (2 << 30, Status.WARN), (50 << 30, Status.OK)]
)
def test_little_room_on_the_disk_is_told_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: Status
) -> None:
    usage = DiskUsage(100 << 30, 0, free)
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda _: usage)
    assert findings(load_settings(home=tmp_path))["disk"].status is status


def test_a_gpu_that_is_asked_for_and_not_there_fails(tmp_path: Path) -> None:
    found = findings(load_settings(home=tmp_path, device="cuda:97"))["gpu"]
    assert found.status is Status.FAIL
    assert "LIKENESS_DEVICE" in found.remedy


@pytest.mark.parametrize(
    ("health", "status", "words"),
    [
        (BrokerHealth(True, "", "8.0", "noeviction", 10, 0), Status.OK, "answers"),
        (BrokerHealth(True, "", "8.0", None, 10, 0), Status.OK, "answers"),
        (BrokerHealth(True, "", "8.0", "allkeys-lru", 10, 0), Status.WARN, "drops queued work"),
        (BrokerHealth(True, "", "8.0", "noeviction", 95, 100), Status.WARN, "of 100 B"),
        (BrokerHealth(False, "refused"), Status.FAIL, "does not answer"),
    ],
)
def test_a_broker_is_judged_by_what_it_does_under_pressure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    health: BrokerHealth,
    status: Status,
    words: str,
) -> None:
    monkeypatch.setattr("workers.broker_health.look_at_broker", lambda _: health)
    settings = load_settings(home=tmp_path, broker_url="redis://127.0.0.1:1/0")
    found: Any = findings(settings)["broker"]
    assert (found.status, words in found.detail) == (status, True)


def test_a_broker_that_is_not_there_or_is_none_fails(tmp_path: Path) -> None:
    for url in (f"redis://127.0.0.1:{closed_port()}/0", "amqp://127.0.0.1"):
        found = findings(load_settings(home=tmp_path, broker_url=url))["broker"]
        assert found.status is Status.FAIL


@pytest.mark.services
def test_a_real_broker_and_what_waits_behind_it(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = find_redis()
    if program is None:
        pytest.skip("Redis is not installed")
    with RedisServer(program) as server:
        queued = settings.model_copy(update={"broker_url": server.url})
        found = findings(queued)
        assert (found["broker"].status, found["queue"].status) == (Status.OK, Status.OK)
        server.client().config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in findings(queued)["broker"].remedy
        with Catalog.open(settings.catalog_url) as catalog:
            Ledger(catalog).submit("default", "index", {}, [NewWork("embed", "gpu", {}, 70)])
        assert "70 images" in findings(queued)["queue"].detail
        monkeypatch.setattr(checkup, "_LONG_WAIT_S", -1.0)
        assert "likeness worker" in findings(queued)["queue"].remedy
