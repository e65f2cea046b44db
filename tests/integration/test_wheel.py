"""A wheel holds all that is needed and no more: the migrations, the weights, the type marker."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from tests.checkout import ROOT, copy_checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel that is built from a clean copy of the project."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    copy_checkout(source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet",
         "--disable-pip-version-check", "--wheel-dir", out, source],
        capture_output=True, text=True, check=False, cwd=out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(out.glob("likeness-*.whl"))) as wheel:
        return set(wheel.namelist())


@pytest.mark.parametrize("package", ["likeness", "indexer", "search", "workers", "api", "training"])
def test_every_module_of_a_package_is_in_the_wheel(wheel_names: set[str], package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert str(path.relative_to(ROOT)) in wheel_names


def test_the_migrations_are_in_the_wheel(wheel_names: set[str]) -> None:
    for path in (ROOT / "migrations").rglob("*"):
        if path.suffix in {".py", ".ini", ".mako"}:
            assert str(path.relative_to(ROOT)) in wheel_names


def test_everything_beside_the_modules_of_the_core_and_the_page_is_in_the_wheel(
    wheel_names: set[str],
) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "likeness", "api"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {"likeness/py.typed", "api/web/frame.html"} <= wheel_names
    assert {name for name in listed if not name.endswith(".md")} <= wheel_names


def test_nothing_but_the_packages_is_in_the_wheel(wheel_names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names}
    packages = {"likeness", "indexer", "search", "workers", "api", "migrations", "training"}
    assert {top for top in tops if not top.endswith(".dist-info")} == packages
