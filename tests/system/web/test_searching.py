"""Words, pictures however they come, parts of pictures; and that every state has a link."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from likeness.runtime import Runtime
from scripts.pictures.drawings import draw
from tests.system.web.chromium import Watched, settled
from tests.system.web.library import DRAWN, PLAIN

ALL = len(DRAWN) + 2 + PLAIN + 2
_PAGE = 48
_SEND = """([bytes, name, type, kind]) => {
  const transfer = new DataTransfer();
  const data = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([data], name, {type}));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def boat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawing of a sailing boat that is not in the library: another one is."""
    path = tmp_path_factory.mktemp("query") / "boat.png"
    draw("sailing-boat", 1).save(path)
    return path


def tile(page: Page, number: int = 0) -> Locator:
    return page.locator(".grid .tile").nth(number)


def give(page: Page, path: Path, kind: str) -> None:
    data = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(_SEND, [data, path.name, "image/png", kind])


def test_the_collection_can_be_looked_through_before_anything_is_asked(
    watch: Callable[..., Watched],
) -> None:
    page = watch(viewport={"width": 900, "height": 400}).open("/")
    # More come by themselves once their end is near, so there may be more already.
    expect(page.get_by_role("status").first).to_have_text(re.compile(r"\d+ images"))
    page.wait_for_function("n => document.querySelectorAll('.grid .tile').length >= n", arg=_PAGE)


def test_words_find_what_they_name_and_the_address_says_so(at: Callable[[str], Page]) -> None:
    page = at("/")
    page.get_by_role("search").get_by_role("textbox").fill("a sailing boat on the sea")
    page.keyboard.press("Enter")
    expect(tile(page)).to_have_attribute("aria-label", "sailing-boat.jpg")
    assert "q=a+sailing+boat+on+the+sea" in page.url
    expect(page).to_have_title("a sailing boat on the sea · Likeness")
    expect(page.locator("#cost")).to_have_text(re.compile(r"ms|s$"))


def test_words_with_a_minus_move_away(at: Callable[[str], Page]) -> None:
    page = at("/?q=apple")
    expect(tile(page)).to_have_attribute("aria-label", re.compile("apple"))
    page.locator("#words").fill('apple -lemons -"a yellow banana"')
    with page.expect_request("**/search") as asked:
        page.keyboard.press("Enter")
    sent = asked.value.post_data_json
    assert [(term["text"], term.get("weight", 1)) for term in sent["terms"]] == [
        ("apple", 1),
        ("lemons", -0.5),
        ("a yellow banana", -0.5),
    ]
    expect(tile(page)).to_have_attribute("aria-label", re.compile("apple"))
    settled(page)
    assert not {"lemons.jpg", "banana.jpg"} & set(order(page)[:3])


def order(page: Page) -> list[str | None]:
    return [each.get_attribute("aria-label") for each in page.locator(".grid .tile").all()]


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_finds_its_like(
    at: Callable[[str], Page], boat: Path, kind: str
) -> None:
    page = at("/")
    give(page, boat, kind)
    expect(tile(page)).to_have_attribute("aria-label", "sailing-boat.jpg")
    expect(page.locator(".query-thumb img")).to_be_visible()
    assert re.search(r"picture=[0-9a-f]{20}", page.url)


def test_a_dragged_file_is_announced_before_it_is_dropped(
    at: Callable[[str], Page], boat: Path
) -> None:
    page = at("/")
    give(page, boat, "dragenter")
    expect(page.get_by_text("Drop a picture to search with it")).to_be_visible()
    give(page, boat, "dragleave")
    expect(page.get_by_text("Drop a picture to search with it")).to_be_hidden()


def test_a_picture_can_be_chosen_from_a_dialog(at: Callable[[str], Page], boat: Path) -> None:
    page = at("/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Search by a picture").click()
    chooser.value.set_files(boat)
    expect(tile(page)).to_have_attribute("aria-label", "sailing-boat.jpg")


def test_a_picture_can_be_named_by_its_address(
    at: Callable[[str], Page], library: Runtime, site: str
) -> None:
    page = at("/?q=snowy+mountains")
    expect(tile(page)).to_have_attribute("aria-label", "snowy-mountains.jpg")
    href = tile(page).get_attribute("href")
    assert href is not None
    number = re.search(r"i=(\d+)", href)
    assert number is not None
    page.locator("#words").fill(f"{site}/v1/collections/default/images/{number[1]}/file")
    page.keyboard.press("Enter")
    expect(page.locator(".query-thumb img")).to_be_visible()
    expect(tile(page)).to_have_attribute("aria-label", "snowy-mountains.jpg")
    assert "url=http" in page.url


def test_an_uploaded_query_survives_a_reload_and_leaves_with_its_button(
    at: Callable[[str], Page], boat: Path
) -> None:
    page = at("/")
    give(page, boat, "drop")
    expect(tile(page)).to_have_attribute("aria-label", "sailing-boat.jpg")
    page.reload()
    expect(tile(page)).to_have_attribute("aria-label", "sailing-boat.jpg")
    expect(page.locator(".query-thumb img")).to_be_visible()
    page.get_by_role("button", name="Remove the picture").click()
    expect(page.locator(".query-thumb")).to_have_count(0)
    assert "picture=" not in page.url


def test_a_link_with_somebody_elses_picture_says_that_it_is_not_here(
    at: Callable[[str], Page],
) -> None:
    page = at("/?picture=0123456789abcdef0123")
    expect(page.get_by_role("heading", name="The query picture is not here")).to_be_visible()
    page.get_by_role("button", name="Go on without it").click()
    expect(page.locator(".grid .tile").first).to_be_visible()


def test_a_dragged_rectangle_asks_with_only_this_part(
    at: Callable[[str], Page], tmp_path: Path
) -> None:
    """Left a boat, right an apple: which half counts decides what is found."""
    both = draw("sailing-boat", 1).resize((640, 480))
    both.paste(draw("red-apple", 1).resize((320, 480)), (320, 0))
    path = tmp_path / "both.png"
    both.save(path)
    page = at("/")
    give(page, path, "drop")
    expect(page.locator(".query-thumb img")).to_be_visible()
    page.locator("#crop").click()
    box = page.locator(".crop-area img").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.52, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + box["height"] - 3)
    page.mouse.up()
    page.get_by_role("button", name="Search this part").click()
    expect(page).to_have_url(re.compile(r"crop=0\.5\d*,0"))
    expect(tile(page)).to_have_attribute("aria-label", re.compile("red-apple"))
    page.reload()
    expect(tile(page)).to_have_attribute("aria-label", re.compile("red-apple"))


def test_a_part_can_be_given_in_numbers_and_moved_with_keys(
    at: Callable[[str], Page],
) -> None:
    page = at("/?q=sailing+boat")
    tile(page).click()
    page.locator("#do-like").click()
    page.locator("#crop").click()
    page.get_by_label("Right, %").fill("60")
    page.get_by_label("Bottom, %").fill("50")
    page.locator("#crop-box").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.get_by_label("Left, %")).to_have_value("1")
    expect(page.get_by_label("Right, %")).to_have_value("60")
    expect(page.get_by_label("Bottom, %")).to_have_value("51")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"crop=0\.01,0\.01,0\.6,0\.51"))
    assert "picture=" in page.url  # a part of a stored image goes as a picture of one's own
    expect(tile(page)).to_have_attribute("aria-label", re.compile(r"."))


def test_back_and_forward_go_through_every_question(at: Callable[[str], Page]) -> None:
    page = at("/?q=lemons")
    expect(tile(page)).to_have_attribute("aria-label", "lemons.jpg")
    page.locator("#words").fill("banana")
    page.keyboard.press("Enter")
    expect(tile(page)).to_have_attribute("aria-label", "banana.jpg")
    tile(page).click()
    expect(page.locator("#detail-title")).to_have_text("banana.jpg")
    page.go_back()
    expect(page.locator("dialog.detail")).to_be_hidden()
    expect(tile(page)).to_be_focused()
    page.go_back()
    expect(tile(page)).to_have_attribute("aria-label", "lemons.jpg")
    expect(page.locator("#words")).to_have_value("lemons")
    page.go_forward()
    expect(tile(page)).to_have_attribute("aria-label", "banana.jpg")


def test_the_rest_is_loaded_when_its_end_comes_near_and_survives_a_reload(
    watch: Callable[..., Watched],
) -> None:
    page = watch(viewport={"width": 900, "height": 400}).open("/?q=lemons")
    expect(page.locator(".grid .tile")).to_have_count(_PAGE)
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".grid .tile")).to_have_count(ALL)
    assert len(set(order(page))) == ALL
    assert f"n={ALL}" in page.url
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    page.reload()
    expect(page.locator(".grid .tile")).to_have_count(ALL)


def test_back_returns_to_where_one_was_and_a_new_question_begins_at_the_top(
    at: Callable[[str], Page],
) -> None:
    page = at("/?q=lemons")
    # As soon as the page is long enough for it.
    page.wait_for_function("() => { window.scrollTo(0, 450); return window.scrollY === 450; }")
    page.keyboard.press("/")
    page.keyboard.type("banana")
    page.keyboard.press("Enter")
    expect(tile(page)).to_have_attribute("aria-label", "banana.jpg")
    assert page.evaluate("() => window.scrollY") == 0
    page.go_back()
    expect(tile(page)).to_have_attribute("aria-label", "lemons.jpg")
    page.wait_for_function("() => window.scrollY === 450")


def test_the_same_question_can_be_asked_again(at: Callable[[str], Page]) -> None:
    page = at("/?q=lemons")
    page.locator("#words").focus()
    with page.expect_request("**/search"):
        page.keyboard.press("Enter")
    expect(tile(page)).to_have_attribute("aria-label", "lemons.jpg")


def test_every_state_is_a_link(watch: Callable[..., Watched]) -> None:
    """Opened afresh in another profile, an address shows what it showed."""
    page = watch().open("/?q=apple&folder=path:*drawn*&rerank=qe")
    tile(page).click()
    expect(page.locator("#detail-title")).to_have_text(re.compile("apple"))
    title = page.locator("#detail-title").inner_text()
    other = watch().open(page.url.removeprefix(page.url.split("/?")[0]))
    expect(other.locator("#detail-title")).to_have_text(title)
    expect(other.locator("#order")).to_contain_text("Broaden")
    expect(other.locator("#words")).to_have_value("apple")
    other.keyboard.press("Escape")
    expect(other.locator("dialog.detail")).to_be_hidden()
    assert "rerank=qe" in other.url
