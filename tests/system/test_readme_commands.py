"""The README's commands do what it says, run as a user would: by name, in a shell, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.checkout import ROOT, copy_checkout
from tests.fakes.pictures import write_pictures

LISTED_ELSEWHERE = {
    "git clone <this repository> likeness && cd likeness": "this is such a clone",
    "make demo": "has its own test below",
    "make test": "is what runs this",
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def readme_commands() -> list[str]:
    """Every line of every console block of the README, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", text, flags=re.M | re.S)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def _environment(home: Path) -> dict[str, str]:
    """A user's environment: their home, the environment's programs first in PATH, no hub."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
        "VENV": sys.prefix,
        "LIKENESS_SKIP_SETUP": "1",
    }


def _shell(line: str, *, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=_environment(home), capture_output=True, text=True,
        check=False, timeout=900, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with Photos/ and, in the working directory, query.jpg."""
    home = tmp_path_factory.mktemp("user")
    paths = write_pictures(home / "Photos", 12)
    with Image.open(paths[0]) as image:
        image.convert("RGB").save(home / "query.jpg")
    return home


def test_the_readme_names_the_two_commands_and_then_five_things_to_do() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme_commands()[:3] == list(LISTED_ELSEWHERE)
    assert text.index("![") < text.index("## Two commands") < text.index("## What you do next")
    steps = re.findall(r"^(\d)\. \*\*", text[text.index("## What you do next") :], flags=re.M)
    assert steps == ["1", "2", "3", "4", "5"]


def test_the_readmes_commands_run_in_order_as_written(user: Path) -> None:
    for line in readme_commands():
        if line in LISTED_ELSEWHERE:
            continue
        done = _shell(line, cwd=user, home=user)
        assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout.strip() or "--failed" in line, f"$ {line} printed nothing"
    with Image.open(user / "answer.png") as sheet:
        assert sheet.width > 200
        assert sheet.height > 100


@pytest.fixture(scope="module")
def demo_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout in a folder of their own, without what others made in it."""
    folder = tmp_path_factory.mktemp("clone")
    copy_checkout(folder)
    return folder


def test_make_demo_prints_ranked_answers_and_writes_contact_sheets_and_is_quick_again(
    demo_checkout: Path, user: Path
) -> None:
    began = time.monotonic()
    first = _shell("make demo", cwd=demo_checkout, home=user)
    first_s = time.monotonic() - began
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"\d+ images in", first.stdout)
    for sheet in re.findall(r"^  (/\S+\.png)$", first.stdout, flags=re.M):
        with Image.open(sheet) as image:
            assert image.width > 400, f"{sheet} is too small to look at"
    assert "by-picture.png" in first.stdout
    ranked = first.stdout[first.stdout.rindex("search it by picture") :]
    top = [ranked.index(name) for name in ("cat", "done in") if name in ranked]
    assert len(top) == 2, ranked

    began = time.monotonic()
    again = _shell("make demo", cwd=demo_checkout, home=user)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "unchanged" in again.stdout
    assert time.monotonic() - began < max(first_s, 30)


def test_make_demo_indexes_a_folder_of_the_users_own(demo_checkout: Path, user: Path) -> None:
    done = _shell('make demo PHOTOS="~/Photos"', cwd=demo_checkout, home=user)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "picture000" in done.stdout


def test_make_help_lists_what_there_is(demo_checkout: Path, user: Path) -> None:
    done = _shell("make help", cwd=demo_checkout, home=user)
    assert done.returncode == 0
    for target in ("setup", "demo", "check", "test", "bench", "up"):
        assert f"make {target} " in done.stdout, target
