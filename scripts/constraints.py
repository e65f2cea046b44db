"""Write constraints.txt: the installed version of everything that Likeness and its extras need.

    python -m scripts.constraints

Run it in an environment in which the tests have just passed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

_ROOT = Path(__file__).resolve().parent.parent
_EXTRAS = ("cpu", "clusters", "server", "remote", "tracing", "milvus", "dev", "demo")
_LEFT_OUT = re.compile(r"^(nvidia-.*|cuda-.*|triton)$")
_PREFACE = """\
# The versions that the tests passed with. `make` installs with `pip install -c constraints.txt`;
# pyproject.toml keeps the ranges that a library user gets. torch brings its own GPU libraries
# in the versions that it pins itself, so those are not repeated here. Written by
# `python -m scripts.constraints`.
"""


def needed() -> dict[str, str]:
    """Canonical name → installed version of the direct and indirect dependencies.

    Raises PackageNotFoundError when a direct dependency is not installed.
    """
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    for extra in _EXTRAS:
        waiting += [Requirement(text) for text in project["optional-dependencies"][extra]]
    direct = {canonical(requirement.name) for requirement in waiting}
    found: dict[str, str] = {}
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonical(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            if name in direct:
                raise
            continue  # for another platform
        found[name] = installed.version
        waiting += _requirements_of(installed.requires or [], requirement.extras)
    return {name: found[name] for name in sorted(found) if not _LEFT_OUT.match(name)}


def _requirements_of(texts: list[str], extras: set[str]) -> list[Requirement]:
    """Those whose markers hold here, with one of the extras or without any."""
    chosen = []
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            chosen.append(requirement)
    return chosen


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    lines = [f"{name}=={version}\n" for name, version in needed().items()]
    (_ROOT / "constraints.txt").write_text(_PREFACE + "".join(lines))
    print(f"wrote constraints.txt with {len(lines)} versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
