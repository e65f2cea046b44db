"""What is done with answers: looked at, explained, refined, filtered, ordered, tagged."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.system.web.chromium import settled
from tests.system.web.test_searching import give, order, tile

_APPLE = "/?q=a+red+apple"


def open_first(page: Page, name: str) -> None:
    page.locator(f'.tile[aria-label="{name}"]').click()
    expect(page.locator("#detail-title")).to_have_text(name)


def test_a_detail_shows_the_facts_and_each_leads_on(at: Callable[[str], Page]) -> None:
    page = at("/?q=banana")
    open_first(page, "banana.jpg")
    facts = page.locator(".facts")
    expect(facts).to_contain_text("Google Pixel 7")
    expect(facts).to_contain_text("320 × 240")
    expect(facts).to_contain_text("2018")
    expect(facts).to_contain_text("48.2083, 16.3739")
    expect(page.locator(".path")).to_contain_text("/pictures/drawn/")
    expect(page.locator(".stage-image")).to_be_visible()
    facts.get_by_role("link", name="Google Pixel 7").click()
    expect(page.locator("dialog.detail")).to_be_hidden()
    expect(page.locator(".grid .tile")).to_have_count(2)
    expect(page.locator(".chips .chip")).to_have_text("Google Pixel 7")


def test_more_like_this_asks_with_the_stored_image(at: Callable[[str], Page]) -> None:
    page = at(_APPLE)
    open_first(page, "red-apple.jpg")
    page.locator("#do-like").click()
    expect(page.locator("dialog.detail")).to_be_hidden()
    expect(page.locator(".query-thumb img")).to_be_visible()
    expect(tile(page)).to_have_attribute("aria-label", re.compile("red-apple-"))
    assert re.search(r"like=\d+", page.url)


def test_picks_refine_the_question_and_are_chips(at: Callable[[str], Page]) -> None:
    page = at("/?q=fruit")
    expect(tile(page)).to_have_attribute("aria-label", re.compile("."))
    before = order(page)
    lemons = page.locator('li:has(> .tile[aria-label="lemons.jpg"])')
    lemons.hover()
    lemons.get_by_role("button", name="More of this").click()
    expect(page.locator(".picks .chip.more")).to_have_count(1)
    expect(page.locator('.tile[aria-label="lemons.jpg"]')).to_have_count(0)
    banana = page.locator('li:has(> .tile[aria-label="banana.jpg"])')
    banana.hover()
    banana.get_by_role("button", name="Less of this").click()
    expect(page.locator(".picks .chip.less")).to_have_count(1)
    settled(page)
    assert re.search(r"less=\d+&more=\d+", page.url)
    assert order(page) != before
    page.get_by_role("button", name=re.compile("No longer: less of this")).click()
    expect(page.locator(".picks .chip")).to_have_count(1)
    page.go_back()
    expect(page.locator(".picks .chip")).to_have_count(2)
    page.get_by_role("button", name="Clear picks").click()
    expect(page.locator(".picks .chip")).to_have_count(0)
    expect(tile(page)).to_have_attribute("aria-label", before[0] or "")


def test_facets_narrow_down_and_combine(at: Callable[[str], Page]) -> None:
    page = at("/")
    panel = page.locator("#filter-panel")
    panel.get_by_role("checkbox", name="Google Pixel 7").check()
    expect(page.locator(".grid .tile")).to_have_count(2)
    panel.get_by_role("checkbox", name="Canon EOS R6").check()  # alternatives of one kind
    expect(page.locator(".grid .tile")).to_have_count(4)
    years = panel.locator("[data-facet=taken]")
    years.get_by_label("2019").check()  # another kind: both must hold
    expect(page.locator(".grid .tile")).to_have_count(1)
    expect(tile(page)).to_have_attribute("aria-label", "green-apple.jpg")
    expect(panel.locator("label", has_text="Pixel 7").locator(".facet-count")).to_have_text("0")
    page.locator("#words").fill("apple")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("1 image of 1")
    page.get_by_role("button", name="Remove the filter 2019").click()
    expect(page.locator(".grid .tile")).to_have_count(4)
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(".status")).to_contain_text("of 58")


def test_a_span_of_time_and_a_filter_in_words(at: Callable[[str], Page]) -> None:
    page = at("/")
    page.get_by_label("Taken from").fill("2019-01-01")
    page.get_by_label("Taken until").fill("2020-12-31")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".grid .tile")).to_have_count(2)
    page.get_by_label("Filter in words").fill("-camera:*pixel*")
    page.keyboard.press("Enter")
    expect(page.locator(".grid .tile")).to_have_count(1)
    expect(tile(page)).to_have_attribute("aria-label", "green-apple.jpg")


def test_a_filter_that_is_wrong_is_explained_with_its_place(at: Callable[[str], Page]) -> None:
    page = at("/?where=widt:3")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The filter cannot be understood")
    expect(alert).to_contain_text("did you mean width?")
    expect(alert).to_contain_text("where_invalid")
    alert.get_by_role("button", name="Clear filters").click()
    expect(page.locator(".grid .tile").first).to_be_visible()


def test_rerankers_are_chosen_in_order_and_their_time_is_shown(
    at: Callable[[str], Page],
) -> None:
    page = at(_APPLE)
    page.locator("#order").click()
    page.get_by_role("checkbox", name=re.compile("Broaden")).check()
    expect(page.locator("#order")).to_contain_text("Broaden")
    page.get_by_role("checkbox", name=re.compile("Mutual neighbours")).check()
    expect(page.locator("#order")).to_contain_text("Broaden, then Mutual neighbours")
    assert "rerank=qe,kreciprocal" in page.url
    expect(page.locator("#cost")).to_contain_text("of it re-ranking")
    page.keyboard.press("Escape")
    page.locator("#cost").click()
    timings = page.locator("#cost-panel")
    for stage in ("Read the question", "Broaden", "Mutual neighbours", "Until shown"):
        expect(timings).to_contain_text(stage)


def test_only_sure_matches_can_be_asked_for(at: Callable[[str], Page], tmp_path: Path) -> None:
    page = at("/")
    path = tmp_path / "grey.png"
    Image.effect_noise((200, 200), 60).convert("RGB").save(path)
    give(page, path, "drop")
    expect(page.locator(".query-thumb img")).to_be_visible()
    page.locator("#cut").click()
    page.get_by_role("radio", name=re.compile("Very sure")).check()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Show all, however far").click()
    expect(page.locator(".grid .tile").first).to_be_visible()


def test_why_shows_the_region_both_share_and_where_the_encoder_looked(
    at: Callable[[str], Page],
) -> None:
    page = at(_APPLE)
    open_first(page, "red-apple.jpg")
    page.locator("#do-like").click()
    page.locator('.tile[aria-label="red-apple-with-text.jpg"]').click()
    expect(page.locator(".scores")).to_contain_text("By chance")
    page.get_by_role("button", name="Why?").click()
    expect(page.locator(".why-verdict")).to_contain_text("The same thing or the same picture")
    expect(page.locator(".why-layer .region")).to_have_count(2)
    assert page.locator(".why-layer .dot").count() > 10
    expect(page.locator(".why-heat").first).to_be_hidden()
    page.get_by_role("button", name="Where it looked").click()
    expect(page.locator(".why-heat").first).to_be_visible()
    page.get_by_role("button", name="Matching pieces").click()
    expect(page.locator(".why-layer .dot")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a picture").click()
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height
    assert "why=1" in page.url
    page.reload()
    expect(page.locator(".why-verdict")).to_contain_text("The same thing or the same picture")
    page.keyboard.press("w")
    expect(page.locator(".why")).to_have_count(0)


def test_why_works_for_an_uploaded_part_and_words_say_why_not(
    at: Callable[[str], Page], tmp_path: Path
) -> None:
    page = at(f"{_APPLE}&why=1")
    tile(page).focus()
    page.keyboard.press("w")
    expect(page.locator(".why-verdict")).to_contain_text("Words have no place in an image")
    page.keyboard.press("Escape")
    with Image.open(_picture(page, tmp_path)) as image:
        image.convert("RGB").save(tmp_path / "query.png")
    give(page, tmp_path / "query.png", "drop")
    expect(page.locator(".query-thumb img")).to_be_visible()
    page.goto(page.url + "&crop=0.1,0.1,0.9,0.9")
    settled(page)
    page.locator('.tile[aria-label="red-apple.jpg"]').focus()
    page.keyboard.press("w")
    expect(page.locator(".why-layer .region")).to_have_count(2)
    expect(page.locator(".why-cropped")).to_be_visible()


def _picture(page: Page, folder: Path) -> Path:
    """The file of the first answer, as a person would have it."""
    src = tile(page).locator("img").get_attribute("src")
    assert src is not None
    path = folder / "first.webp"
    origin = page.evaluate("location.origin")
    path.write_bytes(page.request.get(origin + src).body())
    return path


def test_tags_are_added_found_and_removed(at: Callable[[str], Page]) -> None:
    page = at("/?q=lemons")
    open_first(page, "lemons.jpg")
    tags = page.locator(".tag-editor")
    tags.get_by_label("Add a tag").fill('sour "very"')
    page.keyboard.press("Enter")
    expect(tags.locator(".chip")).to_have_text('sour "very"')
    tags.get_by_role("link", name='sour "very"').click()
    expect(page.locator(".grid .tile")).to_have_count(1)
    expect(page.locator("#filter-panel [data-facet=tag] input")).to_be_checked()
    tile(page).click()
    page.get_by_role("button", name='Remove the tag sour "very"').click()
    expect(tags.locator(".chip")).to_have_count(0)
    page.reload()
    expect(page.locator(".tag-editor .chip")).to_have_count(0)
