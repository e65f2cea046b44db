"""A small library with copies in it, found, clustered, mapped and surveyed; and its pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from search.duplicates.edits import edit_named
from tests.fakes.library import open_library
from tests.system.web.chromium import Watched
from tests.system.web.library import serve

IMAGES = 11
_SORTED = (
    ("duplicates", {}),
    ("clusters/runs", {"method": "kmeans", "k": 5}),
    ("clusters/survey", {}),
    ("map", {}),
)


@contextmanager
def open_sorted(folder: Path) -> Iterator[str]:
    """The URL of a service over the library of `tests.fakes.library`, sorted by every job."""
    few = tuple(edit_named(name) for name in ("jpeg-q50", "mirror"))
    with (
        pytest.MonkeyPatch.context() as patch,
        open_library(folder) as runtime,
        serve(runtime) as url,
    ):
        patch.setattr("search.duplicates.finder.CALIBRATION_EDITS", few)
        for path, asked in _SORTED:
            ask(url, path, asked)
        yield url


def ask(url: str, path: str, asked: dict[str, Any]) -> None:
    """The job that this begins has ended well."""
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        job = client.post(f"/collections/default/{path}", json=asked).raise_for_status().json()
        while job["finished_at"] is None:
            time.sleep(0.1)
            job = client.get(f"/jobs/{job['id']}").raise_for_status().json()
    assert job["state"] == "done", job


def read(url: str, path: str) -> Any:
    """The document at an address of the collection."""
    return httpx.get(f"{url}/v1/collections/default/{path}", timeout=60).raise_for_status().json()


def visit(watched: Watched, address: str) -> Page:
    """The page at an address, once it has drawn what it asked for."""
    watched.page.goto(watched.site + address)
    drawn(watched.page)
    return watched.page


def drawn(page: Page) -> None:
    """Nothing is being asked."""
    page.wait_for_function(
        """() => {
          const results = document.querySelector('.results');
          return results && !results.hasAttribute('aria-busy') && results.childElementCount;
        }"""
    )
