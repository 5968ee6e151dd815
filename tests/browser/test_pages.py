"""The journeys a person makes, in a real browser against a real service."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import keep_picture, watch
from tests.browser.journeys import assert_accessible, box, reach, start_training
from tests.processes import PATIENCE_SECONDS
from tests.web.answers import TUTORIAL

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
LONG_TEXT = "the cat sat on the mat, and the dog lay by the door of the house.\n" * 60


def test_from_a_pasted_text_to_an_answer(page: Page) -> None:
    start_training(page, TUTORIAL, "tutorial", "My first model")
    reach(page, "succeeded")
    # what came live is what the records say
    live = page.locator("#losses tr").all_text_contents()
    assert len(live) > 5
    page.reload()
    assert page.locator("#losses tr").all_text_contents() == live
    expect(page.locator("#curve canvas")).to_be_visible()
    keep_picture(page, "journey-job")
    page.get_by_role("link", name="Try the model").click()
    expect(page.get_by_role("heading", name="My first model")).to_be_visible()
    box(page, "Your beginning").press_sequentially("what is capital of")
    expect(page.locator("#bars .word").first).to_have_text("india")
    expect(page.locator("#bars li")).to_have_count(10)
    keep_picture(page, "journey-model")
    # a word one picks goes on with the text
    page.locator("#bars .bar").first.click()
    expect(box(page, "Your beginning")).to_have_value("what is capital of india")
    # and words it cannot know are named
    box(page, "Your beginning").fill("what is capital of Atlantis")
    expect(page.locator("#unknown")).to_contain_text("Atlantis", ignore_case=True)


def test_a_training_is_watched_paused_and_resumed(page: Page, complaints: list[str]) -> None:
    address = start_training(page, LONG_TEXT, "char", "Watched", epochs="800")
    reach(page, "running")
    # the curve and the figures move without a reload
    points = page.locator("#losses tr")
    expect(points.nth(1)).to_be_attached()
    expect(page.locator('[data-note="step"]')).to_contain_text("of ")
    expect(page.locator("#written li").first).to_be_attached()
    expect(page.locator("#slices tr").first).to_contain_text("train")
    keep_picture(page, "job-running")
    expect(page.locator("#line")).to_have_text("live")

    # a connection that drops is said, and what happened meanwhile comes when it is back
    page.context.set_offline(True)
    expect(page.locator("#line")).to_contain_text("lost")
    page.context.set_offline(False)
    expect(page.locator("#line")).to_have_text("live")
    complaints.clear()

    page.get_by_role("button", name="Pause").click()
    reach(page, "paused")
    seen = points.count()
    page.reload()
    reach(page, "paused")
    assert points.count() >= seen, "the curve is whole after a reload"
    page.get_by_role("button", name="Resume").click()
    reach(page, "running")
    page.get_by_role("button", name="Cancel").click()
    reach(page, "cancelled")
    # what it had learned is a model
    expect(page.get_by_role("link", name="Try the model")).to_be_visible()
    assert urlsplit(page.url).path == address
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Delete for good").click()
    page.wait_for_url("**/jobs")
    expect(page.locator(f'a[href="{address}"]')).to_have_count(0)


def test_without_the_event_stream_it_asks_again_and_again(
    page: Page, complaints: list[str]
) -> None:
    page.route(
        "**/events*",
        lambda route: (
            route.fulfill(status=503)
            if "event-stream" in route.request.headers["accept"]
            else route.continue_()
        ),
    )
    start_training(page, TUTORIAL, "tutorial", "Polled")
    reach(page, "succeeded")
    expect(page.locator("#losses tr").nth(5)).to_be_attached()
    # The browser reports the refused stream, as it should, and nothing else.
    assert complaints == [text for text in complaints if "503" in text]
    complaints.clear()


def test_html_in_names_and_texts_is_text(page: Page) -> None:
    start_training(page, f"{HOSTILE} word\n" * 40, "char", HOSTILE, epochs="3")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    reach(page, "succeeded")
    keep_picture(page, "hostile-job")
    page.goto("/jobs")
    expect(page.get_by_role("link", name=HOSTILE, exact=True)).to_be_visible()
    page.get_by_role("link", name=HOSTILE, exact=True).click()
    page.get_by_role("link", name="Try the model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    box(page, "Your beginning").fill(HOSTILE)
    page.get_by_role("button", name="Write on").click()
    expect(page.locator("#answers .given")).to_have_text(HOSTILE)
    expect(page.locator("#answer-note")).to_contain_text("token")
    assert page.title() == f"{HOSTILE} · lstmq"
    assert page.locator("main img").count() == 0


def test_two_clicks_are_one_job(page: Page) -> None:
    page.goto("/")
    box(page, "Your text").fill(TUTORIAL)
    box(page, "Name").fill("Clicked twice")
    page.get_by_role("button", name="Start training").dblclick()
    page.wait_for_url("**/jobs/*")
    page.goto("/jobs")
    expect(page.get_by_role("link", name="Clicked twice", exact=True)).to_have_count(1)


def test_a_mistake_is_shown_and_the_text_is_kept(page: Page, complaints: list[str]) -> None:
    page.goto("/")
    box(page, "Your text").fill("a text that took long to write")
    page.get_by_text("Advanced settings").click()
    box(page, "Layers").fill("many")
    page.get_by_role("button", name="Start training").click()
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    expect(alert).to_be_focused()
    alert.get_by_role("link", name="Layers").click()
    expect(box(page, "Layers")).to_be_focused()
    expect(box(page, "Layers")).to_have_attribute("aria-invalid", "true")
    expect(box(page, "Your text")).to_have_value("a text that took long to write")
    keep_picture(page, "form-mistake")
    assert_accessible(page)
    complaints[:] = [text for text in complaints if "422" not in text]


def test_the_samples_and_a_file_fill_the_form(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    page.get_by_role("link", name="Tutorial").click()
    expect(box(page, "Your text")).to_have_value(re.compile("what is capital of India"))
    expect(page.locator('input[name="preset"][value="tutorial"]')).to_be_checked()
    expect(page.locator("#counts")).to_contain_text("3 lines")
    poem = tmp_path / "poem.txt"
    poem.write_text("the sea the sea the open sea\n" * 10)
    page.get_by_label("… or a file").set_input_files(poem)
    expect(page.locator("#counts")).to_contain_text("poem.txt")
    # the sample's recipe leaves with the sample
    expect(page.locator('input[name="preset"][value="auto"]')).to_be_checked()
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("poem.txt")


def test_the_keyboard_alone_is_enough(page: Page, lesson: dict[str, str]) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        if page.evaluate("document.activeElement.id") == "text":
            break
        page.keyboard.press("Tab")
    page.keyboard.type(TUTORIAL)
    for _ in range(12):
        if page.evaluate("document.activeElement.type") == "submit":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    page.goto(lesson["model"])
    box(page, "Your beginning").focus()
    page.keyboard.type("what is your")
    expect(page.locator("#bars:not(.stale) .word").first).to_have_text(re.compile(r"\w"))


def test_everything_that_matters_works_without_scripts(
    browser: Browser, service: str, complaints: list[str]
) -> None:
    context = browser.new_context(base_url=service, java_script_enabled=False)
    page = context.new_page()
    watch(page, complaints)
    start_training(page, LONG_TEXT, "char", "No scripts", epochs="2000")
    page.get_by_role("button", name="Pause").click()
    for _ in range(int(PATIENCE_SECONDS)):
        if page.locator(".badge.paused").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge.cancelled")).to_be_visible()
    context.close()
    assert complaints == []
