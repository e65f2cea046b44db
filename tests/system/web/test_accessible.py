"""axe-core, the accessibility checker, finds no serious issue in any state, light or dark."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.system.web.chromium import PHONE, Watched, missing, settled
from tests.system.web.test_searching import tile

_PACKAGE = "axe-core@4.10"
"""It styles what it measures, which our policy forbids: its tests do without the policy."""

_RUN = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}"""


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> Path:
    """The checker's script: fetched once by npm, kept in pytest's cache, part of no release."""
    assert pytestconfig.cache is not None
    script = pytestconfig.cache.mkdir("axe-core") / f"{_PACKAGE}.js"
    if not script.is_file():
        _fetch(script)
    return script


def _fetch(script: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is not installed, which fetches axe-core (Debian: npm)")
        return
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", _PACKAGE, "--silent", "--pack-destination", folder],
            capture_output=True, text=True, check=False, timeout=120, cwd=folder,
        )  # fmt: skip
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode != 0 or packed is None:
            missing(f"npm cannot fetch {_PACKAGE}: {done.stderr.strip()[-300:]}")
            return
        with tarfile.open(packed) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            fetched = script.with_suffix(f".{Path(folder).name}")
            fetched.write_bytes(member.read())
    fetched.replace(script)  # whole or not at all, whoever else fetches it


def browse(_page: Page) -> None:
    """The collection, with the filters open."""


def picks(page: Page) -> None:
    tile(page, 1).focus()
    page.keyboard.press("+")
    expect(page.locator(".picks .chip")).to_have_count(1)
    settled(page)


def menus(page: Page) -> None:
    page.locator("#order").click()


def detail(page: Page) -> None:
    tile(page).click()
    expect(page.locator("#detail-title")).to_be_focused()


def explained(page: Page) -> None:
    tile(page).focus()
    page.keyboard.press("w")
    expect(page.locator(".why-pictures")).to_be_visible()


def crop(page: Page) -> None:
    expect(page.locator(".query-thumb img")).to_be_visible()
    page.locator("#crop").click()
    expect(page.locator(".crop-area img")).to_be_visible()


STATES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "browsing": ("/", browse),
    "picked": ("/?q=apple&camera=camera:*", picks),
    "ordering": ("/?q=apple&rerank=qe,mmr", menus),
    "detail": ("/?q=apple", detail),
    "why": ("/?like=1", explained),
    "part": ("/?like=1", crop),
    "problem": ("/?where=widt:3", browse),
    "nothing": ("/?where=width:1", browse),
    "picture not here": ("/?picture=0123456789abcdef0123", browse),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue(watch: Callable[..., Watched], axe: Path, scheme: str) -> None:
    watched = watch(color_scheme=scheme, bypass_csp=True)
    watched.page.add_init_script(path=axe)
    issues: list[str] = []
    for name, (address, reach) in STATES.items():
        page = watched.open(address)
        reach(page)
        issues += [f"{name}: {issue}" for issue in page.evaluate(_RUN)]
    assert not issues


def test_axe_finds_no_serious_issue_on_a_phone(watch: Callable[..., Watched], axe: Path) -> None:
    watched = watch(**PHONE, bypass_csp=True)
    watched.page.add_init_script(path=axe)
    page = watched.open("/?q=apple")
    page.locator("#filters").tap()
    expect(page.locator("#filter-panel")).to_be_visible()
    assert page.evaluate(_RUN) == []
    page.goto(re.sub(r"\?.*", "?q=apple&i=1", page.url))
    expect(page.locator("#detail-title")).to_be_focused()
    assert page.evaluate(_RUN) == []


def test_the_checker_would_find_one(watch: Callable[..., Watched], axe: Path) -> None:
    """So that silence means something."""
    watched = watch(bypass_csp=True)
    watched.page.add_init_script(path=axe)
    page = watched.open("/")
    page.evaluate("() => document.querySelector('#words').removeAttribute('aria-label')")
    page.evaluate("() => document.querySelector('#words').removeAttribute('placeholder')")
    found = page.evaluate(_RUN)
    assert [issue.split(":")[0] for issue in found] == ["label"]
