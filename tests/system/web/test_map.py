"""The map: 100,000 points, getting about by mouse and keyboard, colours, selecting, thumbnails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from api.sorting.mapping import MapClusters, packed
from likeness.catalog.sorting.clusters import Members
from likeness.catalog.sorting.points import PointFacts
from search.clusters.map import CollectionMap
from tests.system.web import test_accessible as checker
from tests.system.web.chromium import Watched
from tests.system.web.sorting import IMAGES, open_sorted, read, visit
from tests.system.web.test_accessible import axe  # noqa: F401 - a fixture

POINTS = 100_000
_COLOURS = """canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Map();
  for (let at = 0; at < data.length; at += 4) {
    const key = `${data[at]},${data[at + 1]},${data[at + 2]}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  return [...seen.entries()].sort((a, b) => b[1] - a[1]).slice(0, 40);
}"""


@pytest.fixture(scope="module")
def url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert browser.is_connected()
    with open_sorted(tmp_path_factory.mktemp("map")) as opened:
        yield opened


@pytest.fixture
def watched(watch: Callable[..., Watched], url: str) -> Watched:
    return watch(site=url)


def synthetic(n: int) -> bytes:
    """n points in 40 clouds, with times and folders; ids from 1."""
    random = np.random.default_rng(0)
    cloud = random.integers(0, 40, n)
    places = random.uniform(-0.8, 0.8, (40, 2))[cloud] + random.normal(0, 0.06, (n, 2))
    ids = np.arange(1, n + 1, dtype=np.int64)
    members = Members(ids, cloud.astype(np.int32), np.ones(n, np.float32))
    facts = PointFacts(
        ids, random.integers(10**9, 2 * 10**9, n), (cloud % 7).astype(np.int32),
        tuple(f"/photos/{number}" for number in range(7)),
    )  # fmt: skip
    made = CollectionMap(ids, places.astype(np.float32), n, "f")
    names = {number: f"cloud {number}" for number in range(40)}
    return packed(made, facts, MapClusters(1, "synthetic", names, members))


def canvas(page: Page) -> Any:
    return page.locator(".map-canvas")


def wait_for_address(page: Page, pattern: str) -> None:
    page.wait_for_url(re.compile(pattern))


@pytest.fixture
def large(watched: Watched) -> Page:
    """The page over 100,000 points that the server need not have."""
    body = synthetic(POINTS)

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="application/vnd.likeness.map")

    watched.page.route(re.compile(r"/v1/collections/default/map(\?.*)?$"), answer)
    page = visit(watched, "/map")
    expect(page.locator(".summary")).to_have_text(re.compile("100,000 images · 40 clusters"))
    return page


def test_a_hundred_thousand_points_are_drawn_and_moved_by_keyboard(large: Page) -> None:
    page = large
    colours = canvas(page).evaluate(_COLOURS)
    assert len(colours) == 40, "as many colours as there are clouds, and the background"
    assert sum(number for _, number in colours[1:]) > 20_000
    canvas(page).focus()
    for key in ("+", "+", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    wait_for_address(page, "z=2.25")
    address = page.url
    page.reload()
    expect(page.locator(".summary")).to_contain_text("100,000")
    assert page.url == address
    canvas(page).focus()
    page.keyboard.press("0")
    page.wait_for_url(re.compile("^(?!.*z=)"))


def test_all_in_view_and_whole_clusters_are_selected_by_keyboard(large: Page) -> None:
    page = large
    page.keyboard.press("v")
    expect(page.locator(".selection h2")).to_have_text("100,000 images selected")
    page.keyboard.press("Escape")
    expect(page.locator(".selection")).to_be_hidden()
    canvas(page).focus()
    page.keyboard.press("s")
    expect(page.locator(".selection h2")).to_have_text(re.compile(r"^2,[3-7]\d\d images selected"))
    more = page.get_by_role("link", name="More like these")
    expect(more).to_have_attribute("href", re.compile(r"^/\?c=default&like=\d+&more="))


def test_a_lasso_selects_what_it_goes_round(large: Page) -> None:
    page = large
    box = canvas(page).bounding_box()
    page.keyboard.press("l")
    expect(page.locator("#lasso")).to_have_attribute("aria-pressed", "true")
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    for dx, dy in ((200, 0), (200, 200), (0, 200), (0, 0)):
        page.mouse.move(middle[0] + dx, middle[1] + dy, steps=4)
    page.mouse.up()
    title = page.locator(".selection h2")
    expect(title).to_have_text(re.compile("images selected"))
    chosen = int((title.text_content() or "").partition(" ")[0].replace(",", ""))
    assert 0 < chosen < POINTS / 2
    expect(page.locator("#lasso")).to_have_attribute("aria-pressed", "false")
    page.locator(".map-legend button").first.click()
    expect(title).not_to_have_text(re.compile(f"^{chosen:,} "))


def test_colours_go_by_cluster_time_folder_and_search(watched: Watched) -> None:
    page = visit(watched, "/map")
    legend = page.locator(".map-legend")
    expect(legend.locator("h2")).to_have_text("Cluster")
    page.get_by_label("Colour by", exact=True).select_option("folder")
    expect(legend.locator("li")).to_have_count(2)
    expect(legend.locator("li").nth(1)).to_contain_text("album")
    page.get_by_label("Colour by", exact=True).select_option("time")
    expect(legend).to_contain_text("No image says when it was taken")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("red")
    page.keyboard.press("Enter")
    expect(legend.locator(".ramp")).to_be_visible()
    assert "q=red" in page.url
    assert "by=score" in page.url
    page.go_back()
    expect(legend).to_contain_text("No image says when it was taken")


def test_thumbnails_come_in_place_of_points_when_there_are_few(watched: Watched) -> None:
    with watched.page.expect_response(re.compile("/thumbnail")):
        page = visit(watched, "/map")
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector(".map-canvas");
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const seen = new Set();
          for (let at = 0; at < data.length; at += 4)
            seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
          return seen.size > 200;
        }"""
    )


def test_a_selection_is_tagged(watched: Watched, url: str) -> None:
    page = visit(watched, "/map")
    page.keyboard.press("v")
    expect(page.locator(".selection h2")).to_have_text(f"{IMAGES} images selected")
    page.get_by_label("Tag for the selection").fill("chosen")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text(f"{IMAGES} tagged “chosen”")
    assert len(read(url, "images?where=tag:chosen")["images"]) == IMAGES


def test_enter_opens_the_image_in_the_middle(watched: Watched) -> None:
    page = visit(watched, "/map")
    canvas(page).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/\?c=default&i=\d+"))


def test_a_map_that_is_not_made_yet_can_be_made(watched: Watched) -> None:
    page = watched.page

    def missing(route: Route) -> None:
        if route.request.method == "POST":
            route.continue_()
            page.unroute("**/v1/collections/default/map")
        else:
            route.fulfill(
                status=404, content_type="application/problem+json",
                json={"title": "x", "status": 404, "code": "not_made_yet", "detail": "no map"},
            )  # fmt: skip

    page.route("**/v1/collections/default/map", missing)
    visit(watched, "/map")
    page.get_by_role("button", name="Make the map").click()
    expect(page.locator(".summary")).to_contain_text(f"{IMAGES} images")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_in_the_map(
    watch: Callable[..., Watched],
    url: str,
    axe: Path,  # noqa: F811
    scheme: str,
) -> None:
    watched = watch(site=url, color_scheme=scheme, bypass_csp=True)
    watched.page.add_init_script(path=axe)
    page = visit(watched, "/map")
    issues = page.evaluate(checker._RUN)
    page.keyboard.press("v")
    expect(page.locator(".selection h2")).to_be_visible()
    issues += page.evaluate(checker._RUN)
    assert not issues


def test_the_map_fits_a_phone(watch: Callable[..., Watched], url: str) -> None:
    page = visit(watch(site=url, viewport={"width": 390, "height": 780}), "/map")
    expect(canvas(page)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = canvas(page).bounding_box()
    assert box is not None
    assert box["height"] > 500
