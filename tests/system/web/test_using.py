"""How it is to use: by keyboard, on a phone, in the dark; hostile names, errors, keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from likeness.catalog.serving.keys import ApiKeys, Scope
from likeness.settings import load_settings
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.system.web.chromium import PHONE, Watched, settled
from tests.system.web.library import HOSTILE, index, serve
from tests.system.web.test_searching import tile


def test_everything_can_be_done_with_the_keyboard_alone(at: Callable[[str], Page]) -> None:
    page = at("/")
    page.keyboard.press("/")
    expect(page.locator("#words")).to_be_focused()
    page.keyboard.type("a red apple")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("of 58")
    expect(tile(page)).to_have_attribute("aria-label", re.compile("red-apple"))
    page.keyboard.press("ArrowDown")
    expect(tile(page)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(tile(page, 1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_be_focused()
    second = page.locator("#detail-title").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#detail-title")).not_to_have_text(second)
    page.keyboard.press("Escape")
    expect(page.locator("dialog.detail")).to_be_hidden()
    expect(tile(page)).to_be_focused()
    page.keyboard.press("+")
    expect(page.locator(".picks .chip.more")).to_have_count(1)
    page.keyboard.press("f")
    page.keyboard.press("f")
    expect(page.locator("#filter-panel").get_by_role("button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#filter-panel")).to_be_hidden()
    expect(page.locator("#filters")).to_be_focused()


def test_arrows_move_by_where_tiles_are(at: Callable[[str], Page]) -> None:
    page = at("/")
    tile(page, 2).focus()
    start = tile(page, 2).bounding_box()
    page.keyboard.press("ArrowDown")
    below = page.locator(".tile:focus").bounding_box()
    assert start is not None
    assert below is not None
    assert below["y"] > start["y"]
    middle = start["x"] + start["width"] / 2
    assert abs(below["x"] + below["width"] / 2 - middle) < start["width"]
    page.keyboard.press("ArrowUp")
    up = page.locator(".tile:focus").bounding_box()
    assert up is not None
    assert up["y"] == start["y"]
    page.keyboard.press("End")
    expect(page.locator(".grid li:last-child .tile")).to_be_focused()
    page.keyboard.press("Home")
    expect(tile(page)).to_be_focused()
    assert page.locator('.tile[tabindex="0"]').count() == 1


def test_nothing_moves_while_pictures_arrive(watch: Callable[..., Watched]) -> None:
    watched = watch()
    watched.page.add_init_script(
        """window.shifts = [];
        new PerformanceObserver((list) => {
          for (const {value, hadRecentInput, sources} of list.getEntries()) {
            const moved = sources.map(({node}) => node?.className ?? String(node));
            if (!hadRecentInput && value > 0.001) shifts.push([value, ...moved]);
          }
        }).observe({type: "layout-shift", buffered: true});"""
    )
    page = watched.open("/?q=apple")
    page.wait_for_function("() => document.querySelectorAll('.tile.loaded').length > 8")
    shifts = page.evaluate("() => window.shifts")
    moved = {name for _, *names in shifts for name in names}
    assert moved <= {"grow", "frame-tools"}, "neither pictures nor filters move"
    assert sum(value for value, *_ in shifts) < 0.1  # "good" for Core Web Vitals


@pytest.mark.parametrize("address", ["/", "/?q=apple", "/?q=apple&i=1"])
def test_a_phone_shows_it_all_without_scrolling_sideways(
    watch: Callable[..., Watched], address: str
) -> None:
    page = watch(**PHONE).open(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    expect(page.locator("#filter-panel")).to_be_hidden()
    if "i=" not in address:
        page.locator("#filters").tap()
        expect(page.locator("#filter-panel")).to_be_visible()
        page.get_by_role("checkbox", name="Google Pixel 7").check()
        settled(page)
        expect(page.locator(".grid .tile")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    else:
        expect(page.locator("#do-more")).to_be_visible()


def test_it_is_dark_where_the_system_is_and_where_it_is_told_to_be(
    watch: Callable[..., Watched],
) -> None:
    luminance = """() => {
      const canvas = document.createElement("canvas").getContext("2d");
      canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data[1];
    }"""
    page = watch(color_scheme="dark").open()
    page.wait_for_function(f"() => ({luminance})() < 60")
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Colours: light")
    page.wait_for_function(f"() => ({luminance})() > 200")
    page.locator("#theme").click()
    page.reload()
    settled(page)
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Colours: dark")
    page.wait_for_function(f"() => ({luminance})() < 60")


def test_file_names_are_text_whatever_they_say(at: Callable[[str], Page]) -> None:
    page = at('/?where=path:"*odd names*"')
    expect(page.locator(".grid .tile")).to_have_count(len(HOSTILE))
    shown = set()
    for number in range(len(HOSTILE)):
        tile(page, number).click()
        expect(page.locator("#detail-title")).to_be_focused()
        shown.add(page.locator("#detail-title").inner_text())
        assert page.locator("main img[src=x], dialog img[src=x], main script").count() == 0
        page.keyboard.press("Escape")
        expect(page.locator("dialog.detail")).to_be_hidden()
    assert shown == set(HOSTILE)
    expect(page).to_have_title("Search · Likeness")


def test_the_policy_keeps_markup_from_being_made_of_text(watch: Callable[..., Watched]) -> None:
    watched = watch()
    page = watched.open()
    tried = page.evaluate(
        """() => {
          try { document.body.insertAdjacentHTML("beforeend", "<b id=made></b>"); }
          catch (error) { return error.name; }
          return "made";
        }"""
    )
    assert tried == "TypeError"
    assert page.locator("#made").count() == 0
    assert watched.troubles  # Chromium says so, and that is the only trouble that may be
    assert all("TrustedHTML" in trouble for trouble in watched.troubles)
    watched.troubles.clear()


def test_a_problem_is_shown_in_the_servers_words_and_tried_again(
    at: Callable[[str], Page],
) -> None:
    page = at("/")
    broken = [True]

    def answer(route: Route) -> None:
        if not broken:
            route.continue_()
            return
        document = '{"status": 503, "code": "busy", "title": "Too much is being asked at once", '
        body = document + '"detail": "Try again in a while."}'
        route.fulfill(status=503, content_type="application/problem+json", body=body)

    page.route("**/search", answer)
    page.locator("#words").fill("banana")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Too much is being asked at once")
    expect(page.get_by_role("alert")).to_contain_text("busy")
    broken.clear()
    page.get_by_role("button", name="Try again").click()
    expect(tile(page)).to_have_attribute("aria-label", "banana.jpg")


def test_a_server_that_is_gone_and_one_that_is_slow_say_so(at: Callable[[str], Page]) -> None:
    page = at("/")
    page.route("**/search", lambda route: route.abort())
    page.locator("#words").fill("banana")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    page.unroute("**/search")
    page.route("**/search", lambda _route: None)  # never answered
    page.locator("#words").fill("lemons")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Still searching…")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.unroute("**/search")
    page.get_by_role("button", name="Search again").click()
    expect(tile(page)).to_have_attribute("aria-label", "lemons.jpg")


def test_another_collection_is_chosen_and_an_empty_one_says_so(
    at: Callable[[str], Page],
) -> None:
    page = at("/?q=apple&camera=camera:*x*")
    page.get_by_label("Collection").select_option("empty")
    page.wait_for_url(re.compile("c=empty"))
    settled(page)
    assert "camera" not in page.url
    expect(page.locator("#words")).to_have_value("apple")
    page.goto(page.url.replace("&q=apple", ""))
    expect(page.get_by_role("heading", name="There are no images here yet")).to_be_visible()
    page.goto(page.url.replace("c=empty", "c=nowhere"))
    expect(page.get_by_role("alert")).to_contain_text("There is no such collection")


def test_a_server_with_keys_asks_for_one_and_remembers_it(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    write_pictures(tmp_path / "pictures")
    settings = load_settings(home=tmp_path / "home", decode_workers=1)
    with FakeRuntime(settings) as runtime:
        index(runtime, "default", tmp_path / "pictures")
        _, key = ApiKeys(runtime.catalog).create("reader", Scope.READ)
        with serve(runtime) as url:
            page = watch(site=url).page
            page.goto(url)
            dialog = page.get_by_role("dialog", name="Sign in")
            dialog.get_by_label("API key").fill("lk_nonsense")
            page.keyboard.press("Enter")
            expect(dialog.get_by_role("alert")).to_contain_text("wrong or revoked")
            dialog.get_by_label("API key").fill(key)
            page.keyboard.press("Enter")
            expect(page.locator(".grid .tile")).to_have_count(12)
            page.reload()
            settled(page)
            expect(page.get_by_role("dialog")).to_have_count(0)
            expect(page.locator(".tile.loaded").first).to_be_visible()
            tile(page).click()  # a key that may only read changes no tags
            expect(page.locator("dialog.detail")).to_be_visible()
            expect(page.get_by_label("Add a tag")).to_have_count(0)
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
