"""The house stands as DESIGN draws it: names, layers, quiet imports, documented commands."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import likeness
from likeness.cli.main import COMMANDS, cli
from likeness.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("likeness", "indexer", "search", "workers", "api", "migrations")

TORCH_FREE = (
    "likeness",
    "likeness.types",
    "likeness.errors",
    "likeness.settings",
    "likeness.encoders",
    "likeness.encoders.registry",
    "likeness.encoders.preprocess",
    "likeness.imaging.decode",
    "likeness.imaging.pool",
    "likeness.catalog",
    "likeness.cli.main",
    "indexer.sources",
)


def _python(code: str, *, isolated: bool = False) -> str:
    """Output of `code` in a new interpreter, outside the repository, its warnings being errors."""
    flags = ["-I"] if isolated else []
    environment = {**os.environ, "PYTHONPATH": "" if isolated else str(ROOT)}
    done = subprocess.run(
        [sys.executable, *flags, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, cwd="/", env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _modules() -> list[str]:
    """Dotted names of every module of the packages, from their files."""
    names = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[0] == "migrations" and len(parts) > 1 and parts[1] != "__init__":
                continue  # run by Alembic with its context, not imported
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_an_installed_package_name_resolves_to_ours(package: str) -> None:
    found = _python(f"import {package}; print({package}.__file__)", isolated=True).strip()
    assert Path(found) == ROOT / package / "__init__.py"


def test_the_version_is_the_one_in_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert likeness.__version__ == project["version"]


def test_public_names_are_pinned() -> None:
    public = {name for name in vars(likeness) if not name.startswith("_")}
    submodules = {path.stem for path in (ROOT / "likeness").iterdir()}
    assert public - submodules == set()
    offered = {name for name in dir(likeness) if not name.startswith("_")}
    assert offered - submodules == {"connect", "open"}
    assert callable(likeness.open)
    assert callable(likeness.connect)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_importing_it_does_not_import_torch(module: str) -> None:
    heavy = ("torch", "timm", "open_clip", "transformers")
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    assert _python(code).strip() == "[]"


def test_importing_every_module_opens_nothing_reads_no_environment_and_stays_silent() -> None:
    """Audited in one new interpreter: no file written, no socket, no process, no LIKENESS_*."""
    code = f"""
import importlib, json, os, sys, threading, warnings
import open_clip, prometheus_client, timm, torch  # before the audit: what these do is theirs
warnings.filterwarnings("ignore", module=r"^(?!likeness|indexer|search|workers|api)")
seen = []
def audit(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        if "__pycache__" not in str(args[0]):
            seen.append([event, str(args[0])])
    elif event in ("socket.connect", "subprocess.Popen", "os.mkdir", "sqlite3.connect"):
        seen.append([event, str(args[:1])])
sys.addaudithook(audit)
asked = []
real = os.environ.__class__.__getitem__
def getitem(self, key):
    if str(key).startswith("LIKENESS_"):
        asked.append(key)
    return real(self, key)
os.environ.__class__.__getitem__ = getitem
threads = threading.active_count()
ours = []
for name in {_modules()!r}:
    before = len(seen)
    importlib.import_module(name)
    if len(seen) > before:
        ours.append([name, seen[before:]])
print(json.dumps([ours, asked, threading.active_count() - threads]))
"""
    assert json.loads(_python(code)) == [[], [], 0]


def _every_command() -> list[tuple[str, click.Command]]:
    context = click.Context(cli)
    found: list[tuple[str, click.Command]] = []

    def walk(prefix: str, command: click.Command) -> None:
        found.append((prefix, command))
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk(f"{prefix} {name}".strip(), inner)

    walk("", cli)
    return found


def test_every_command_has_help_and_every_option_says_what_it_does() -> None:
    for path, command in _every_command():
        assert command.help, f"likeness {path} has no help"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                documented = parameter.help or isinstance(parameter.type, click.Choice)
                assert documented, f"likeness {path} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_commands_help_is_shown_and_exits_with_0(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage: ")


def test_every_command_takes_json() -> None:
    for path, command in _every_command():
        if isinstance(command, click.Group) or path.startswith("distill"):
            continue
        options = {name for parameter in command.params for name in parameter.opts}
        assert "--json" in options, f"likeness {path} has no --json"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_its_section_and_a_how_to_page_that_uses_it(name: str) -> None:
    assert f"## likeness {name}\n" in (ROOT / "docs/commands.md").read_text()
    pages = [p for p in (ROOT / "docs").glob("*.md") if p.name != "commands.md"]
    used = re.compile(rf"likeness\b[^\n|`]*\b{name}\b")
    assert any(used.search(page.read_text()) for page in pages)


def test_every_setting_says_what_it_means() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description, f"setting {name} has no description"
        assert f"`LIKENESS_{name.upper()}`" in page


def test_the_reference_pages_are_what_the_code_says_and_links_lead_somewhere() -> None:
    # In a process of its own: click remembers the help options of commands that others ran.
    assert _python("from scripts import reference; print(reference.check())").strip() == "[]"


def test_every_source_file_stays_within_reach_of_the_eye() -> None:
    """Files rarely pass 300 lines; none passes 450 (tests: 500)."""
    for package in (*PACKAGES, "training", "scripts", "benchmarks", "tests"):
        most = 500 if package == "tests" else 450
        for path in (ROOT / package).rglob("*.py"):
            lines = path.read_text().count("\n")
            assert lines <= most, f"{path.relative_to(ROOT)} has {lines} lines"


def test_no_path_of_a_developers_machine_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    foreign = re.compile(r"(?<![\w.])/(?:work|root)/\w+")
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".cfg", ""}:
            found = foreign.search(path.read_text(errors="replace")) if path.is_file() else None
            assert found is None, f"{name} names {found and found.group()}"


def test_the_tested_versions_cover_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in ("cpu", "clusters", "server", "remote", "tracing", "milvus", "dev", "demo"):
        asked += project["optional-dependencies"][extra]
    pinned = {
        _canonical(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for requirement in asked:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert _canonical(name.group()) in pinned, f"{requirement} is not in constraints.txt"


def _imported(packages: tuple[str, ...]) -> set[str]:
    """Canonical distribution names of everything foreign that the packages import anywhere."""
    tops: set[str] = set()
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    tops |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    tops.add(node.module.partition(".")[0])
    providers = packages_distributions()
    foreign = tops - sys.stdlib_module_names - {*PACKAGES, "training"}
    return {_canonical(name) for top in foreign for name in providers.get(top, [top])}


def test_what_the_packages_import_is_what_pyproject_asks_for() -> None:
    """torchvision is what timm's and open_clip's transforms need,
    python-multipart what Starlette reads forms with, milvus-lite what pymilvus runs in-process,
    s3fs and gcsfs what fsspec loads by scheme; OpenTelemetry's packages share one import name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["cpu"], *extras["clusters"], *extras["milvus"]]
    texts += [*extras["server"], *extras["remote"], *extras["tracing"]]
    asked = {_canonical(re.split(r"[^\w.-]", text)[0]) for text in texts}
    imported = _imported((*PACKAGES, "training"))
    imported -= {name for name in imported - asked if name.startswith("opentelemetry-")}
    assert imported - asked == set(), "imported, but not asked for"
    indirect = {"python-multipart", "torchvision", "milvus-lite", "s3fs", "gcsfs"}
    assert asked - imported == indirect, "asked for, but not imported"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
