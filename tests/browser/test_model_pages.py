"""Playing with a model and looking inside it, in a real browser against a real service."""

import math
import re

import httpx
import pytest
import torch
from playwright.sync_api import Browser, Page, Route, expect

from lstmcore.corpus import Corpus
from lstmcore.filters import distribution, penalise
from lstmcore.outlook import outlook
from lstmcore.prompts import never_written, read, read_prompt
from lstmcore.sampling import Sampling
from lstmcore.training import Trainer
from tests.browser.conftest import HEIGHTS, PHONE, keep_picture, watch
from tests.browser.journeys import assert_accessible, box
from tests.lstmcore.trainings import config
from tests.processes import PATIENCE_SECONDS
from web.client import Client

STRANGE = '<script>document.title="taken"</script> & “שלום” 🦉'
LINES = f"the cat sat on the mat, and the dog lay by the door of the house.\n{STRANGE}\n"
MINUS = "\N{MINUS SIGN}"
SMALL = {
    "preset": "char",
    "model": {"embed_dim": 12, "hidden_dim": 24, "layers": 2},
    "training": {"epochs": 6},
}


@pytest.fixture(scope="module")
def writer(service: str) -> str:
    """The page of a model of letters with two layers."""
    job = {"kind": "train", "name": STRANGE, "text": LINES * 20, "config": SMALL}
    queued = httpx.post(f"{service}/api/v1/jobs", json=job, timeout=PATIENCE_SECONDS).json()
    with Client(service) as client:
        told = client.finished(queued["id"])
    assert told["state"] == "succeeded", told
    return f"/models/{told['result']['model']}"


def test_a_page_and_the_server_make_the_same_of_every_setting(page: Page) -> None:
    words = " ".join(f"w{at}" for at in range(700))
    corpus = Corpus("text", (words,), ())
    lm = Trainer.start(config(corpus, "word"), corpus, threads=1).language_model
    with torch.no_grad():
        lm.model.output.bias.normal_(0, 2.5, generator=torch.Generator().manual_seed(1))
    prompt = "w1 w2 w3 w650"
    ids = read_prompt(lm, prompt).ids
    logits = read(lm, ids)[0]
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen[0, ids] = True
    told = outlook(lm, prompt, listed=150)
    assert told["others"]
    listed = [each["id"] for each in told["candidates"]]
    page.goto("/")
    for given in (
        {},
        {"temperature": 0.3},
        {"temperature": 1.8},
        {"top_k": 7},
        {"top_k": 400, "temperature": 1.5},
        {"top_p": 0.5},
        {"top_p": 0.97, "temperature": 1.5},
        {"top_p": 0.9, "top_k": 30, "temperature": 0.7, "repetition_penalty": 1.6},
        {"temperature": 0, "repetition_penalty": 2},
    ):
        sampling = Sampling.model_validate(given)
        scores = penalise(logits, seen, sampling.repetition_penalty)
        scores[0, never_written(lm)] = -math.inf
        if sampling.temperature == 0:
            wanted = torch.nn.functional.one_hot(scores[0].argmax(), scores.shape[1]).double()
        else:
            wanted = distribution(scores, sampling)[0]
        found = page.evaluate(
            "async ([told, given]) => (await import('/static/js/chances.js')).chances(told, given)",
            [
                told,
                sampling.model_dump(include={"temperature", "top_k", "top_p"})
                | {"repetition_penalty": sampling.repetition_penalty},
            ],
        )
        shares = [each["share"] for each in found]
        assert shares == pytest.approx(wanted[listed].tolist(), rel=0.02, abs=2e-4), given


def test_writing_together_with_a_model(page: Page, writer: str) -> None:
    page.goto(writer)
    expect(page.get_by_role("heading", level=1)).to_have_text(STRANGE)
    box(page, "Your beginning").fill("the c§t")
    bars = page.locator("#bars:not(.stale) li")
    expect(bars).to_have_count(10)
    expect(page.locator(".underlines u")).to_have_text("§")
    # sliders act at once, and Reset takes them back
    page.get_by_role("slider", name="Temperature").fill("0")
    expect(bars.first).to_contain_text("100 %")
    expect(bars.last).to_contain_text("left out")
    page.get_by_role("button", name="Reset").click()
    expect(bars.last).not_to_contain_text("left out")
    # a letter one picks goes on with the text, and comes back
    box(page, "Your beginning").fill("the ca")
    expect(page.locator(".underlines u")).to_have_count(0)
    expect(bars).to_have_count(10)
    page.locator("#bars .bar").first.click()
    expect(box(page, "Your beginning")).to_have_value(re.compile(r"^the ca."))
    page.get_by_role("button", name="Take a letter back").click()
    expect(box(page, "Your beginning")).to_have_value("the ca")
    # texts side by side; a seed gives the same again
    page.get_by_label("Texts").fill("2")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("slider", name="Length").fill("20")
    written = page.locator("#answers .new")
    texts = []
    for _ in range(2):
        page.get_by_role("button", name="Write on").click()
        expect(page.locator("#answer-note")).to_have_text("2 texts, 40 tokens together.")
        texts.append(written.all_text_contents())
    assert texts[0] == texts[1]
    assert [len(text) for text in texts[0]] == [20, 20]
    assert page.locator("#answers .given").first.inner_text() == "the ca"
    page.get_by_role("button", name="Go on from there").first.click()
    expect(box(page, "Your beginning")).to_have_value("the ca" + texts[0][0])
    keep_picture(page, "model-writing")
    # four long texts, asked for one after the other, are stopped in the middle: the second waits
    asked: list[Route] = []

    def hold_the_second(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.continue_()

    page.route("**/predict", hold_the_second)
    page.get_by_label("Texts").fill("4")
    page.get_by_role("slider", name="Length").fill("500")
    page.get_by_role("button", name="Write on").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#answer-note")).to_have_text("Stopped.")
    assert len(asked) <= 2


def test_a_text_is_scored_and_letters_have_neighbours(
    page: Page, writer: str, complaints: list[str]
) -> None:
    page.goto(writer)
    box(page, "What surprises it?").fill(f"the cat sat§\n{STRANGE}")
    page.get_by_role("button", name="Show surprise").click()
    tokens = page.locator("#score-tokens [role=option]")
    expect(tokens).to_have_count(len(f"the cat sat§\n{STRANGE}"))
    assert page.locator("#score-tokens [data-surprise='5'], [data-surprise='4']").count() > 0
    expect(page.locator("#score-note")).to_have_text("It has never seen: §.")
    page.locator("#score-tokens").focus()
    page.keyboard.press("End")
    expect(tokens.last).to_have_attribute("aria-selected", "true")
    expect(page.locator("#score-look")).to_contain_text("nats")
    page.locator("#score-table summary").click()
    expect(page.locator("#score-table tbody tr").nth(3)).to_contain_text("␣")
    box(page, "Letters alike to it").fill("a")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#nearest-list li")).to_have_count(8)
    page.locator("#nearest-list button").first.click()
    expect(box(page, "Letters alike to it")).not_to_have_value("a")
    box(page, "Letters alike to it").fill("the")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#nearest-note")).to_contain_text("ask for one at a time")
    assert_accessible(page)
    complaints[:] = [text for text in complaints if "422" not in text]


def test_the_lesson_from_inside_on_a_phone(
    browser: Browser, service: str, lesson: dict[str, str], complaints: list[str]
) -> None:
    context = browser.new_context(
        base_url=service,
        viewport={"width": PHONE, "height": HEIGHTS[PHONE]},
        reduced_motion="reduce",
    )
    page = context.new_page()
    watch(page, complaints)
    page.goto(lesson["model"])
    page.get_by_role("link", name="Look inside").click()
    # the lesson's own numbers
    expect(page.locator("[data-say=ids]")).to_have_text("[8, 3, 0, 6]")
    expect(page.locator("[data-say=shape]")).to_have_text("[4, 10]")
    expect(page.locator("#logits tr").first).to_contain_text("india")
    expect(page.locator("#chips .chip")).to_have_text(["what8", "is3", "capital0", "of6"])
    # step by step, each the sum of its parts
    page.get_by_role("slider", name="Step").focus()
    for step in ("capital", "is", "what"):
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#now")).to_contain_text(step)
    page.locator("[data-strip=cell] span").first.click()
    expect(page.locator("#cell-words")).to_contain_text("Cell 0 ")
    page.locator("#gates").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cell-words")).to_contain_text("Cell 1 ")
    said = page.locator("#cell-words .formula").first.inner_text().replace(MINUS, "-")
    forget, old, let_in, new, memory = map(float, re.findall(r"-?\d+\.\d+", said))
    assert forget * old + let_in * new == pytest.approx(memory, abs=0.03)
    for fold in ("All steps at a glance", "This step as a table"):
        page.get_by_text(fold).click()
    expect(page.locator("#cell-table tbody tr")).to_have_count(20)
    # another text, neurons of choice, a word on the map
    box(page, "Your words").fill("what is your zebra name")
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("[data-say=predicted]")).to_have_text("jay")
    expect(page.locator(".underlines u")).to_have_text("zebra")
    page.get_by_label("Any other").fill("3")
    page.locator("#any-neuron button").click()
    expect(page.locator("#neurons .choice").first).to_contain_text("Cell 3")
    expect(page.locator("#neuron-text [role=option]")).to_have_count(4)
    page.locator("#map").scroll_into_view_if_needed()
    expect(page.locator("#map circle")).to_have_count(10)
    page.get_by_role("combobox", name="Find").fill("india")
    page.locator("#find-word button").click()
    expect(page.locator("#map-look")).to_contain_text("Nearest to india")
    keep_picture(page, "inside-phone")
    assert_accessible(page)
    context.close()
    assert complaints == []


def test_any_text_is_text_and_what_cannot_be_is_said(
    page: Page, writer: str, service: str, complaints: list[str]
) -> None:
    page.goto(f"{writer}/inside")
    # nobody gave a text: it begins with the training's
    expect(box(page, "Your words")).to_have_value("the cat sat on the")
    expect(page.locator("#neurons .fit").first).to_be_visible()
    box(page, "Your words").fill(STRANGE)
    page.locator("#layer").select_option("0")
    expect(page.locator("#chips .chip")).to_have_count(len(STRANGE))
    expect(page.locator("#neuron-text [role=option]")).to_have_count(len(STRANGE))
    assert page.locator("main script[src], main img").count() == 0
    assert page.title() == f"Inside {STRANGE} · lstmq"
    keep_picture(page, "inside-strange")
    assert complaints == []
    # too long a text is refused with what to do, and kept
    box(page, "Your words").fill("a" * 4001)
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#look-note")).to_contain_text("shorten it")
    expect(box(page, "Your words")).to_have_value("a" * 4001)
    box(page, "Your words").fill("the cat")
    httpx.delete(f"{service}/api/v1{writer}").raise_for_status()
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#look-note")).to_contain_text("This model is gone")
    complaints.clear()  # the browser reports the 422 and the 404, as it should
