"""A real Chromium: where it is, how it is started, and what no page of ours may do in it."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 30_000
PHONE = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}
"""Options of a browser context."""


def executable() -> str:
    """The path of Chromium; skips, or fails where services are required."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        missing("Chromium is not installed (Debian: chromium)")
    return found


def missing(reason: str) -> None:
    """Skips the test; fails it where services are required."""
    if os.environ.get("LIKENESS_TEST_SERVICES") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class Watched:
    """A page, and everything that went wrong in it: exceptions, console errors, violations."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.site = site
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(f"exception: {error}"))
        self.page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        # Answers that are no success are logged by Chromium itself; tests look at those.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.troubles.append(f"console: {message.text}")
        if "Content Security Policy" in message.text:
            self.troubles.append(f"policy: {message.text}")

    def open(self, address: str = "/") -> Page:
        """The page at an address of the site, once its first answers are there."""
        self.page.goto(self.site + address)
        settled(self.page)
        return self.page


def settled(page: Page) -> None:
    """Nothing is being asked, and what was answered is drawn."""
    page.wait_for_function(
        """() => document.querySelector('.results:not([aria-busy])')
            && document.querySelector('.grid li, .results .message')"""
    )
