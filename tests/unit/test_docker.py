"""The container files, read as Docker would: what they must hold, and that they fit the code."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from likeness.cli.main import cli
from likeness.settings import Settings
from tests.system import stack

ROOT = Path(__file__).resolve().parents[2]
OURS = ("migrate", "api", "worker", "worker-gpu")
ALWAYS = ("postgres", "redis", "migrate", "api", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """docker-compose.yml, its anchors resolved."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def gpu() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
    return document


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_the_services_are_those_of_the_issue(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*ALWAYS, "worker-gpu"}
    assert compose["services"]["worker-gpu"]["profiles"] == ["gpu"]
    assert not any("profiles" in compose["services"][name] for name in ALWAYS)


def test_no_service_is_root_writes_its_root_or_keeps_a_capability(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert service["read_only"] is True, name
        assert service["tmpfs"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service
        assert "cap_add" not in service
        assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ())), name


def test_every_service_has_limits_and_says_how_it_is(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert service["pids_limit"] > 0, name
        assert service["logging"]["options"]["max-size"], name
        if name == "migrate":  # it ends
            assert service["healthcheck"] == {"disable": True}
        else:
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_images_are_pinned(compose: dict[str, Any], dockerfile: str) -> None:
    for name, service in compose["services"].items():
        assert re.search(
            r":\d+\.\d+(\.\d+)?(-[a-z0-9]+)?(@sha256:[0-9a-f]{64})?$", service["image"]
        ), name
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert compose["services"]["api"]["image"] == f"likeness:{version}"
    base = re.search(r"ARG PYTHON_IMAGE=(\S+)", dockerfile)
    assert base is not None
    assert re.search(r":3\.\d+\.\d+-", base[1])
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_the_redis_keeps_what_is_queued(compose: dict[str, Any]) -> None:
    command = compose["services"]["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert "--maxmemory" in command


def test_the_schema_is_brought_up_once_before_anything_uses_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["migrate"]["command"][0] == "upgrade"
    assert services["migrate"]["restart"] == "no"
    for name in ("api", "worker", "worker-gpu"):
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully", name
        assert needs["postgres"]["condition"] == needs["redis"]["condition"] == "service_healthy"


def test_what_must_last_is_in_volumes(compose: dict[str, Any]) -> None:
    assert set(compose["volumes"]) == {"home", "database"}
    services = compose["services"]
    assert any(v.startswith("database:") for v in services["postgres"]["volumes"])
    for name in OURS:
        assert "home:/data" in services[name]["volumes"], name
        assert services[name]["environment"]["LIKENESS_HOME"] == "/data"
        pictures = next(v for v in services[name]["volumes"] if ":/photos" in v)
        assert pictures.endswith(":ro"), name


def test_it_is_reached_from_this_machine_only_unless_told(compose: dict[str, Any]) -> None:
    ports = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert ports == {"api": ["${LIKENESS_BIND:-127.0.0.1}:${LIKENESS_PUBLIC_PORT:-8000}:8000"]}
    assert compose["services"]["api"]["environment"]["LIKENESS_INSECURE"].endswith(":-false}")


def test_no_password_is_written_down_or_made_up(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith(
        "${POSTGRES_PASSWORD:?"
    )
    assert not re.search(r"//[^$/\s]+:[^@/\s]+@", text)
    assert "POSTGRES_PASSWORD=\n" in (ROOT / "ops/docker/example.env").read_text()


def test_workers_get_their_grace_time(compose: dict[str, Any]) -> None:
    for name in ("worker", "worker-gpu"):
        service = compose["services"][name]
        grace = float(service["environment"]["LIKENESS_WORKER_GRACE_S"])
        assert float(service["stop_grace_period"].removesuffix("s")) > grace + 5


def command_of(arguments: list[str]) -> click.Command:
    """The command that a container runs; raises for an option that it does not have."""
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None, arguments
    command.make_context(arguments[0], [str(a) for a in arguments[1:]])
    return command


def test_every_command_and_setting_is_one_of_ours(
    compose: dict[str, Any], gpu: dict[str, Any]
) -> None:
    known = {f"LIKENESS_{name.upper()}" for name in Settings.model_fields}
    for document in (compose, gpu):
        for name, service in document["services"].items():
            if name not in OURS:
                continue
            if "command" in service:
                command_of(service["command"])
            ours = {key for key in service.get("environment", {}) if key.startswith("LIKENESS_")}
            assert ours <= known, name
    for name in ("worker", "worker-gpu"):
        command_of(compose["services"][name]["healthcheck"]["test"][2:])


def test_the_system_tests_start_the_same_processes_with_the_same_environment(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    assert list(stack.WORKER[-1:]) == services["worker"]["command"][:1]
    assert "serve" in stack.API
    assert services["api"]["command"][0] == "serve"
    wanted = {"LIKENESS_HOME", "LIKENESS_DATABASE_URL", "LIKENESS_BROKER_URL"}
    for name in OURS:
        assert wanted <= set(services[name]["environment"]), name
        assert "postgresql+psycopg://" in services[name]["environment"]["LIKENESS_DATABASE_URL"]
        assert "redis://" in services[name]["environment"]["LIKENESS_BROKER_URL"]


def test_the_gpu_worker_gets_a_gpu_and_the_other_leaves_embedding_to_it(
    compose: dict[str, Any], gpu: dict[str, Any]
) -> None:
    for service in (compose["services"]["worker-gpu"], gpu["services"]["api"]):
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert device["capabilities"] == ["gpu"]
    queues = {
        name: command[command.index("--queues") + 1]
        for name, command in {
            "all": compose["services"]["worker"]["command"],
            "beside": gpu["services"]["worker"]["command"],
            "gpu": compose["services"]["worker-gpu"]["command"],
        }.items()
    }
    assert queues == {"all": "gpu,cpu,io", "beside": "cpu,io", "gpu": "gpu"}
    assert set(gpu["services"]) <= set(compose["services"])


def test_the_image_is_built_in_stages_and_runs_as_somebody(dockerfile: str) -> None:
    stages = re.findall(r"^FROM \S+ AS (\w+)", dockerfile, re.MULTILINE)
    assert stages == ["build", "runtime"]
    runtime = dockerfile.partition("AS runtime")[2]
    user = re.search(r"^USER (\d+):(\d+)$", runtime, re.MULTILINE)
    assert user is not None
    assert user[1] != "0"
    assert "HEALTHCHECK" in runtime
    assert 'ENTRYPOINT ["likeness"]' in runtime
    assert "PYTHONDONTWRITEBYTECODE=1" in runtime
    assert "pip" not in runtime


def test_the_build_sees_every_package_and_nothing_else(dockerfile: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [p.rstrip("*") for p in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    copied = re.findall(r"^COPY (?!--from)(.+) (\S+)$", dockerfile, re.MULTILINE)
    names = {name for words, _ in copied for name in words.split()}
    assert set(packages) <= names
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in ignored if not line.startswith("#")) == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == names
    assert all((ROOT / name).exists() for name in names)


def test_the_requirements_that_are_installed_first_are_the_projects(dockerfile: str) -> None:
    script = re.search(r'python -c "(import tomllib.*?)"\s*\\?\s*\n?\s*>', dockerfile, re.DOTALL)
    assert script is not None
    code = script[1].replace("\\\n", "").replace("$EXTRAS", "cpu,server,remote,tracing")
    done = subprocess.run(
        [sys.executable, "-c", re.sub(r"\s{2,}", " ", code)],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = done.stdout.splitlines()
    assert lines[: len(project["dependencies"])] == project["dependencies"]
    for extra in ("cpu", "server", "remote", "tracing"):
        assert set(project["optional-dependencies"][extra]) <= set(lines)
