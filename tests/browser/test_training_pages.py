"""One long way over the pages of trainings, on a phone and at a desk."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import HEIGHTS, WIDTHS, keep_picture, watch
from tests.browser.journeys import assert_accessible, box, reach
from tests.processes import PATIENCE_SECONDS
from tests.web.answers import TUTORIAL

HOSTILE = "<b>bold</b> <script>alert(1)</script> שלום 😀"


@pytest.mark.parametrize("width", WIDTHS)
def test_from_a_text_to_a_comparison(
    browser: Browser, service: str, width: int, tmp_path: Path, complaints: list[str]
) -> None:
    context = browser.new_context(
        base_url=service,
        viewport={"width": width, "height": HEIGHTS[width]},
        color_scheme="light" if width > 400 else "dark",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    watch(page, complaints)
    the_machine_looks_at_a_text(page, tmp_path)
    first = a_training_is_watched(page, f"first {width}", tmp_path)
    second = it_is_made_again_with_a_change(page, f"second {width}")
    they_are_compared(page, width, first, second)
    the_list_is_tidied(page, width)
    context.close()
    assert complaints == []


def the_machine_looks_at_a_text(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    panel = page.locator("#preview")
    expect(panel).to_contain_text("How it goes")
    # what is typed is seen at once, as text
    box(page, "Your text").fill(f"{HOSTILE}\n" * 3)
    expect(panel.locator(".tokens .token").first).to_be_visible()
    expect(panel).to_contain_text("bold")
    assert panel.locator("b, script").count() == 0
    # a file tells its encoding
    poem = tmp_path / "poem.txt"
    poem.write_bytes("Grüße aus Köln, schöne Grüße\r\n".encode("cp1252") * 40)
    page.get_by_label("… or a file").set_input_files(poem)
    expect(panel).to_contain_text("cp1252")
    # what is impossible is said beside its field, and goes when it is put right
    box(page, "Your text").fill(TUTORIAL)
    expect(panel).to_contain_text("Vocabulary")
    page.get_by_text("Advanced settings").click()
    layers = box(page, "Layers")
    layers.fill("many")
    expect(layers).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("should be a whole number")).to_be_visible()
    layers.fill("")
    expect(layers).not_to_have_attribute("aria-invalid", "true")
    assert_accessible(page)
    keep_picture(page, f"looked-at-{page.viewport_size['width'] if page.viewport_size else 0}")


def a_training_is_watched(page: Page, name: str, tmp_path: Path) -> str:
    page.locator('input[name="preset"][value="tutorial"]').check()
    expect(page.locator(".card.suits")).to_have_count(1)
    box(page, "Name").fill(name)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/jobs/*")
    address = page.url
    reach(page, "succeeded")
    expect(page.locator("#used-seconds")).not_to_have_text("\u2013")
    expect(page.locator("#slices tr").first).to_contain_text("MiB")
    page.get_by_role("button", name="Log").click()
    expect(page.get_by_role("button", name="Log")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as picture:
        page.get_by_role("button", name="PNG").click()
    picture.value.save_as(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as table:
        page.get_by_role("link", name="CSV").click()
    table.value.save_as(tmp_path / "curve.csv")
    assert len((tmp_path / "curve.csv").read_text().splitlines()) > 5
    return address.rpartition("/")[2]


def it_is_made_again_with_a_change(page: Page, name: str) -> str:
    page.get_by_role("link", name="Change and train again").click()
    expect(page.locator('input[name="preset"][value="tutorial"]')).to_be_checked()
    expect(page.locator("#counts")).to_contain_text("A text from before is used")
    expect(page.locator("#preview")).to_contain_text("on this installation")
    page.get_by_text("Advanced settings").click()
    box(page, "Epochs").fill("50")
    box(page, "Name").fill(name)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/jobs/*")
    reach(page, "succeeded")
    return page.url.rpartition("/")[2]


def they_are_compared(page: Page, width: int, first: str, second: str) -> None:
    page.goto(f"/jobs?q={width}")
    ticks = page.locator(".tick")
    expect(ticks).to_have_count(2)
    ticks.nth(0).check()
    page.get_by_role("link", name=f"first {width}", exact=True).focus()
    page.keyboard.press("x")
    expect(page.locator("#chosen")).to_have_text("2 chosen")
    page.get_by_role("group", name="With the chosen jobs").get_by_text("Compare").click()
    page.wait_for_url("**/compare?*")
    assert first in page.url
    assert second in page.url
    expect(page.locator("#curve canvas")).to_be_visible()
    row = page.get_by_role("row", name=re.compile("^Epochs"))
    expect(row).to_contain_text("100")
    expect(row).to_contain_text("50")
    box(page, "The same words to all of them").fill("what is capital of")
    page.get_by_role("button", name="Ask all").click()
    expect(page.locator("#answers .nexts li")).to_have_count(10)
    expect(page.locator("#answers")).to_contain_text("india")
    expect(page.locator("#ask-note")).to_have_text("2 models answered.")
    keep_picture(page, f"compared-{width}")
    assert_accessible(page)


def the_list_is_tidied(page: Page, width: int) -> None:
    page.goto("/jobs")
    box_ = page.get_by_role("searchbox", name="Name")
    box_.fill(str(width))
    box_.press("Enter")
    page.wait_for_url(f"**/jobs?q={width}*")
    more = page.get_by_label(f"What to do with first {width}")
    more.click()
    page.get_by_role("button", name="Delete", exact=True).last.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("its model stays")
    assert_accessible(page)
    dialog.get_by_role("button", name="No, leave them").click()
    expect(page.locator(".tick")).to_have_count(2)
    page.get_by_label("Choose all").check()
    bulk = page.get_by_role("group", name="With the chosen jobs")
    bulk.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("2 jobs deleted.")).to_be_visible()
    page.goto("/workers")
    expect(page.locator("#workers")).to_contain_text("train-1")
