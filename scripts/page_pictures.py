"""Photograph the page for the README: a search by words, and why a picture matched.

    python -m scripts.page_pictures

Indexes what the project drew itself, and one free photo, into a temporary home;
serves it; and writes JPEGs to docs/images, whose README says what may be shown. Needs Chromium and
the `dev` and `demo` extras.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from scripts.pictures.collection import make_collection, make_query

_IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
_COMMAND = Path(sys.executable).with_name("likeness")
_SHOWN = ("drawn/*.jpg", "photos/cat.*")
_CHROMIUM = ("chromium", "chromium-browser")
_WINDOW = (1280, 800)


def main() -> int:
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if chromium is None:
        print("Chromium is not installed (Debian: chromium)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, _service(Path(name)) as url:
        query = make_query(Path(name) / "holidays.jpg", "cat")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            _by_words(browser, url)
            _why(browser, url, query)
            browser.close()
    return 0


@contextmanager
def _service(folder: Path) -> Iterator[str]:
    """The address of the page over a collection of what may be shown."""
    make_collection(folder / "all")
    pictures, home = folder / "library" / "Pictures", folder / "home"
    for pattern in _SHOWN:
        for path in sorted((folder / "all").glob(pattern)):
            target = pictures / path.relative_to(folder / "all")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    subprocess.run([_COMMAND, "--home", home, "index", pictures], check=True)
    server = subprocess.Popen(
        [_COMMAND, "--home", home, "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.wait(30)


def _by_words(browser: Browser, url: str) -> None:
    page = _opened(browser, "light")
    page.goto(f"{url}/?q=fruit")  # the first question is slower than all others
    _wait_for_pictures(page)
    page.goto(f"{url}/?q=fruit+on+a+table")
    _wait_for_pictures(page)
    page.locator(".grid li").nth(1).hover()
    _write(page, "page-words")


def _why(browser: Browser, url: str, query: Path) -> None:
    page = _opened(browser, "dark")
    page.goto(url)
    _wait_for_pictures(page)
    page.locator("#file").set_input_files(query)
    page.locator(".query-thumb img").wait_for()
    _wait_for_pictures(page)
    page.locator('.tile[aria-label="cat.png"]').focus()
    page.keyboard.press("w")
    page.locator(".why-layer .region").first.wait_for()
    _write(page, "page-why")


def _opened(browser: Browser, scheme: str) -> Page:
    context = browser.new_context(
        viewport={"width": _WINDOW[0], "height": _WINDOW[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    return context.new_page()


def _wait_for_pictures(page: Page) -> None:
    page.wait_for_function(
        "() => document.querySelectorAll('.tile.loaded').length >= 8"
        " && document.querySelector('.results:not([aria-busy])')"
    )


def _write(page: Page, name: str) -> None:
    page.wait_for_timeout(500)
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        page.screenshot(path=file.name)
        with Image.open(file.name) as shot:
            target = _IMAGES / f"{name}.jpg"
            shot.convert("RGB").save(target, quality=86, subsampling=0, optimize=True)
    print(f"wrote {target}")


if __name__ == "__main__":
    sys.exit(main())
