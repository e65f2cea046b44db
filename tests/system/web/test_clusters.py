"""The page of clusters: cards, members, corrections by keyboard, zoom, and what stands out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.system.web import test_accessible as checker
from tests.system.web.chromium import Watched
from tests.system.web.sorting import IMAGES, open_sorted, read, visit
from tests.system.web.test_accessible import axe  # noqa: F401 - a fixture


@pytest.fixture
def url(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """A service of its own: these tests change what they find."""
    assert browser.is_connected()
    with open_sorted(tmp_path) as opened:
        yield opened


@pytest.fixture
def watched(watch: Callable[..., Watched], url: str) -> Watched:
    return watch(site=url)


def cards(page: Page) -> Locator:
    return page.locator(".card")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def clusters(url: str) -> list[dict]:
    run = read(url, "clusters/runs")["runs"][0]
    found = read(url, f"clusters/runs/{run['id']}")["clusters"]
    assert isinstance(found, list)
    return found


def test_clusters_have_covers_names_and_members_and_every_state_has_a_link(
    watched: Watched, url: str
) -> None:
    page = visit(watched, "/clusters")
    known = clusters(url)
    expect(cards(page)).to_have_count(len(known))
    expect(page.locator(".summary")).to_contain_text("5 clusters")
    expect(cards(page).first.locator("h2")).to_have_text(known[0]["name"])
    expect(cards(page).first.locator("img").first).to_be_visible()
    expect(cards(page).first).to_contain_text(re.compile(r"\d images? · coherence [01]\.\d\d"))
    cards(page).first.locator("a").click()
    expect(page.locator("#cluster-name")).to_have_text(known[0]["name"])
    expect(page.locator(".members .tile")).to_have_count(known[0]["size"])
    page.get_by_role("button", name="Most marginal first").click()
    assert "order=marginal" in page.url
    page.reload()
    expect(page.locator(".members .tile")).to_have_count(known[0]["size"])
    page.go_back()
    page.go_back()
    expect(cards(page)).to_have_count(5)


def test_clusters_are_renamed_merged_and_split_by_keyboard_alone(
    watched: Watched, url: str
) -> None:
    page = visit(watched, "/clusters")
    first, second = clusters(url)[:2]
    press(page, "ArrowDown", "e")
    field = page.get_by_label("Name", exact=True)
    expect(field).to_be_focused()
    field.fill("Grandma's <b>garden</b>")
    press(page, "Enter")
    expect(cards(page).first.locator("h2")).to_have_text("Grandma's <b>garden</b>")
    assert clusters(url)[0]["named_by_user"]
    expect(cards(page).first.locator("a")).to_be_focused()
    press(page, "x", "ArrowRight", "x")
    expect(page.locator("#merge")).to_have_text("Merge 2")
    press(page, "m")
    expect(cards(page)).to_have_count(4)
    assert clusters(url)[0]["size"] == first["size"] + second["size"]
    press(page, "ArrowDown", "Enter")
    expect(page.locator("#cluster-name")).to_have_text("Grandma's <b>garden</b>")
    press(page, "s")
    expect(page.get_by_label("Into how many clusters")).to_be_focused()
    press(page, "Enter")
    expect(cards(page)).to_have_count(5)


def test_zooming_out_brings_alike_clusters_together(watched: Watched) -> None:
    page = visit(watched, "/clusters")
    press(page, "-")
    expect(cards(page)).to_have_count(4)
    assert "level=4" in page.url
    together = cards(page).filter(has_text="2 clusters")
    together.locator("a").click()
    expect(cards(page)).to_have_count(2)
    press(page, "Escape")
    expect(cards(page)).to_have_count(4)
    press(page, "+")
    expect(cards(page)).to_have_count(5)


def test_outliers_and_near_empty_images_are_listed(watched: Watched) -> None:
    page = visit(watched, "/clusters")
    page.get_by_role("button", name="Near-empty").click()
    expect(page.locator(".tile[aria-label='empty.png']")).to_be_visible()
    expect(page.locator(".kind").first).to_have_text("blank")
    page.get_by_role("button", name="Outliers").click()
    expect(page.locator(".members .tile")).to_have_count(IMAGES)
    expect(page.locator(".kind").first).to_have_text(re.compile(r"^\d+\.\d$"))
    assert "view=outliers" in page.url


def test_another_run_is_made_and_chosen(watched: Watched, url: str) -> None:
    page = visit(watched, "/clusters")
    page.locator("#make").click()
    page.locator("#cluster-method").select_option("kmeans")
    page.get_by_label("How many").fill("3")
    page.get_by_label("Name of the run").fill("three")
    page.get_by_role("button", name="Cluster", exact=True).click()
    expect(cards(page)).to_have_count(3)
    assert [run["name"] for run in read(url, "clusters/runs")["runs"]] == ["three", "kmeans-medium"]
    page.get_by_label("Run", exact=True).select_option(index=1)
    expect(cards(page)).to_have_count(5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_in_clusters(
    watch: Callable[..., Watched],
    url: str,
    axe: Path,  # noqa: F811
    scheme: str,
) -> None:
    watched = watch(site=url, color_scheme=scheme, bypass_csp=True)
    watched.page.add_init_script(path=axe)
    issues: list[str] = []
    for address in ("/clusters", "/clusters?n=0", "/clusters?level=4", "/clusters?view=empty"):
        page = visit(watched, address)
        issues += [f"{address}: {issue}" for issue in page.evaluate(checker._RUN)]
    page = visit(watched, "/clusters")
    page.locator("#make").click()
    issues += [f"dialog: {issue}" for issue in page.evaluate(checker._RUN)]
    assert not issues


def test_clusters_fit_a_phone(watch: Callable[..., Watched], url: str) -> None:
    page = visit(watch(site=url, viewport={"width": 390, "height": 780}), "/clusters")
    expect(cards(page)).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
