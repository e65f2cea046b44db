"""One server and one browser for all; every test has a browser profile of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from likeness.runtime import Runtime
from tests.system.web.chromium import ARGUMENTS, TIMEOUT_MS, Watched, executable
from tests.system.web.library import open_library, serve

expect.set_options(timeout=TIMEOUT_MS)


# Playwright's event loop runs in the thread of the tests for as long as it is open, so that no test
# outside this package could start one of its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def library(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Made only where there is a browser to look at it."""
    with open_library(tmp_path_factory.mktemp("library")) as runtime:
        yield runtime


@pytest.fixture(scope="package")
def site(library: Runtime) -> Iterator[str]:
    with serve(library) as url:
        yield url


@pytest.fixture
def watch(browser: Browser, site: str) -> Iterator[Callable[..., Watched]]:
    """Opens pages in a fresh profile; at the end none of them may have met an error."""
    opened: list[Watched] = []

    def watch(**options: Any) -> Watched:
        where = options.pop("site", site)
        options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | options
        watched = Watched(browser.new_context(**options), where)
        opened.append(watched)
        return watched

    yield watch
    troubles = [trouble for watched in opened for trouble in watched.troubles]
    for watched in opened:
        watched.page.context.close()
    assert not troubles


@pytest.fixture
def at(watch: Callable[..., Watched]) -> Callable[[str], Page]:
    """The page at an address, in a window of ordinary size."""
    return watch().open
