"""The page of copies: reviewing by mouse and by keyboard, comparing, planning, acting, undoing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.system.web import test_accessible as checker
from tests.system.web.chromium import Watched
from tests.system.web.sorting import open_sorted, read, visit
from tests.system.web.test_accessible import axe  # noqa: F401 - a fixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def url(browser: Browser, folder: Path) -> Iterator[str]:
    """A service of its own: these tests change what they find."""
    assert browser.is_connected()
    with open_sorted(folder) as opened:
        yield opened


@pytest.fixture
def watched(watch: Callable[..., Watched], url: str) -> Watched:
    return watch(site=url)


def copies(page: Page, group: int) -> Locator:
    return page.locator(".group").nth(group).locator(".copy")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def summary(page: Page) -> Locator:
    return page.locator(".summary")


def test_groups_are_shown_and_filtered_and_every_state_has_a_link(watched: Watched) -> None:
    page = visit(watched, "/duplicates")
    expect(page.locator(".group")).to_have_count(3)
    expect(summary(page)).to_contain_text("3 groups of 7 images")
    expect(copies(page, 0).first).to_have_attribute("aria-label", re.compile(r"^0\.png, first"))
    expect(copies(page, 2).nth(1)).to_have_attribute("aria-label", re.compile("over 9. %|8. %"))
    page.get_by_role("button", name="Edited copy 2").click()
    expect(page.locator(".group")).to_have_count(2)
    assert "relation=edited-copy" in page.url
    page.go_back()
    expect(page.locator(".group")).to_have_count(3)
    page.get_by_role("button", name=re.compile("^Decided")).click()
    expect(page.locator(".message h2")).to_have_text("No group fits the filter")
    page.reload()
    expect(page.locator(".message h2")).to_have_text("No group fits the filter")


def test_a_review_by_keyboard_alone_from_verdicts_to_undo(
    watched: Watched, url: str, folder: Path
) -> None:
    photos = folder / "photos"
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    page = visit(watched, "/duplicates")
    press(page, "ArrowDown")
    expect(copies(page, 0).first).to_be_focused()
    press(page, "a")  # keep the first only, and on to the next group
    expect(copies(page, 1).first).to_be_focused()
    expect(summary(page)).to_contain_text("1 marked")
    press(page, "ArrowRight", "r")
    expect(summary(page)).to_contain_text("2 marked")
    expect(copies(page, 1).nth(1)).to_be_focused()
    expect(copies(page, 1).nth(1)).to_have_attribute("aria-label", re.compile("remove$"))
    press(page, "z")
    expect(summary(page)).to_contain_text("1 marked")
    press(page, "r", "ArrowDown", "ArrowRight", "n")  # the third group is no pair of copies
    expect(page.locator(".group")).to_have_count(2)
    press(page, "p")
    page.get_by_role("button", name="Make the plan").press("Enter")
    expect(page.locator(".steps li")).to_have_count(2)
    page.locator("#carry-out").press("Enter")
    expect(page.locator(".toast").first).to_contain_text("2 files taken away")
    assert not (photos / "0 again.png").exists()
    expect(page.locator(".group")).to_have_count(1)
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.locator(".toast").last).to_contain_text("2 files back in place")
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    assert read(url, "duplicates")["totals"]["groups"] == 2


def test_a_rule_marks_what_is_shown(watched: Watched, url: str) -> None:
    page = visit(watched, "/duplicates?relation=edited-copy")
    page.locator("#rules").click()
    panel = page.locator("#rules-panel")
    panel.get_by_label("Of each group, keep").select_option("path")
    panel.get_by_label("Path pattern").fill("*/album/*")
    panel.get_by_role("button").click()
    expect(page.locator(".toast")).to_contain_text("2 groups decided: 3 images to be removed")
    groups = read(url, "duplicates?relation=edited-copy")["groups"]
    kept = [m["image"]["path"] for g in groups for m in g["members"] if m["verdict"] == "keep"]
    assert any("/album/" in path for path in kept)
    assert read(url, "duplicates")["totals"]["open"] == 1


def test_copies_are_compared_in_five_ways_and_the_address_says_how(watched: Watched) -> None:
    page = visit(watched, "/duplicates")
    press(page, "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "Enter")
    dialog = page.locator("dialog.compare")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".side img")).to_have_count(2)
    expect(dialog.locator(".matched")).to_have_count(2)
    points = dialog.locator(".matched .line").first.get_attribute("points") or ""
    corners = [float(each) for point in points.split() for each in point.split(",")]
    width, height = (max(corners[part::2]) - min(corners[part::2]) for part in (0, 1))
    assert width * height == pytest.approx(0.81, abs=0.05), "a tenth less on either side"
    for key, mode in (("2", "overlay"), ("3", "blink"), ("4", "swipe"), ("5", "difference")):
        press(page, key)
        expect(dialog.locator(f".stack.{mode}")).to_be_visible()
        assert f"m={mode}" in page.url
    press(page, "4", "+", "+")
    expect(dialog.locator(".layer")).to_have_css(
        "clip-path", re.compile(r"inset\(0px 0px 0px 60%\)")
    )
    page.reload()
    expect(page.locator(".stack.swipe")).to_be_visible()
    press(page, "r")
    expect(dialog.get_by_role("button", name="Remove")).to_have_attribute("aria-pressed", "true")
    press(page, "Escape")
    expect(dialog).to_be_hidden()
    expect(page).not_to_have_url(re.compile("w="))


def test_the_copy_lies_exactly_where_its_proof_says(watched: Watched) -> None:
    """What the browser draws is compared with the matrix of the evidence."""
    page = visit(watched, "/duplicates?relation=edited-copy")
    group = read(watched.site, "duplicates?relation=edited-copy")["groups"][1]
    (a, _, c), (_, e, f) = group["members"][1]["evidence"]["transform"]
    first, copy = (member["image"]["id"] for member in group["members"])
    page.goto(f"{watched.site}/duplicates?g={group['id']}&w={copy}&m=overlay")
    expect(page.locator(".stack .layer img")).to_be_visible()
    assert first != copy
    whole = page.locator(".stack").bounding_box()
    laid = page.locator(".stack .layer img").bounding_box()
    assert whole is not None
    assert laid is not None
    assert (laid["x"] - whole["x"]) / whole["width"] == pytest.approx(-c / a, abs=0.02)
    assert (laid["y"] - whole["y"]) / whole["height"] == pytest.approx(-f / e, abs=0.02)
    assert laid["width"] / whole["width"] == pytest.approx(1 / a, abs=0.04)


def test_a_search_for_copies_shows_how_far_it_is(watched: Watched, url: str) -> None:
    page = visit(watched, "/duplicates")
    page.locator("#find").click()
    page.get_by_label("Show").select_option("same-pixels")
    page.locator("#find-panel").get_by_role("button", name="Find copies").click()
    expect(page.locator(".job")).to_be_hidden()
    expect(page.locator(".group")).to_have_count(2)
    assert read(url, "duplicates")["run"]["least"] == "same-pixels"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_in_copies(
    watch: Callable[..., Watched],
    url: str,
    axe: Path,  # noqa: F811
    scheme: str,
) -> None:
    watched = watch(site=url, color_scheme=scheme, bypass_csp=True)
    watched.page.add_init_script(path=axe)
    issues: list[str] = []
    page = visit(watched, "/duplicates")
    press(page, "ArrowDown", "a")
    expect(summary(page)).to_contain_text("marked")
    for name, keys in (("list", ()), ("compare", ("Enter",)), ("overlay", ("2",)),
                       ("plan", ("Escape", "p")), ("keys", ("Escape", "?"))):  # fmt: skip
        press(page, *keys)
        page.wait_for_timeout(300)
        issues += [f"{name}: {issue}" for issue in page.evaluate(checker._RUN)]
    assert not issues


def test_a_phone_shows_all_of_it(watch: Callable[..., Watched], url: str) -> None:
    watched = watch(site=url, viewport={"width": 390, "height": 780}, has_touch=True)
    page = visit(watched, "/duplicates")
    expect(page.locator(".group")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    copies(page, 2).nth(1).tap()
    expect(page.locator("dialog.compare .side img")).to_have_count(2)
