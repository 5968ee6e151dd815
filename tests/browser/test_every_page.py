"""What every page promises: accessible, pictured, narrow enough, small."""

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import DESK, HEIGHTS, WIDTHS, keep_picture, watch
from tests.browser.journeys import assert_accessible

EVERY_WIDTH = (360, 390, 768, 1024, 1280, 1920)


def every_address(lesson: dict[str, str]) -> dict[str, str]:
    return {
        "start": "/",
        "jobs": "/jobs",
        "job": lesson["job"],
        "models": "/models",
        "model": lesson["model"],
        "compare": f"/compare?job={lesson['job'].rpartition('/')[2]}",
        "inside": f"{lesson['model']}/inside",
        "workers": "/workers",
        "docs": "/docs",
        "sweeps": "/sweeps",
        "missing": "/nothing-here",
    }


def open_folds(page: Page, most: int | None = None) -> None:
    page.evaluate(
        "most => [...document.querySelectorAll('details')].slice(0, most ?? undefined)"
        ".forEach(fold => { fold.open = true })",
        most,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_accessible_and_pictured(
    browser: Browser, service: str, lesson: dict[str, str], width: int, scheme: str
) -> None:
    context = browser.new_context(
        base_url=service,
        viewport={"width": width, "height": HEIGHTS[width]},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page = context.new_page()
    complaints: list[str] = []
    watch(page, complaints)
    for name, address in every_address(lesson).items():
        page.goto(address)
        if name == "model":
            page.locator("#bars li").first.wait_for()
        if name == "inside":
            page.locator("#map").scroll_into_view_if_needed()
            page.locator("#map circle").first.wait_for()
        keep_picture(page, f"{name}-{width}-{scheme}")
        # Folded parts count too. The page of the API is one route after the other, thousands of
        # elements alike: all of them are looked at once, otherwise the first dozen.
        alike = name == "docs" and (width, scheme) != (DESK, "light")
        open_folds(page, 12 if alike else None)
        assert_accessible(page)
    context.close()
    assert [text for text in complaints if "404" not in text] == []


@pytest.mark.parametrize("width", EVERY_WIDTH)
def test_no_page_is_wider_than_its_window(
    context: BrowserContext, lesson: dict[str, str], width: int
) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    for name, address in every_address(lesson).items():
        page.goto(address)
        open_folds(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} wide"


def test_the_first_view_is_small_with_all_its_scripts(page: Page, lesson: dict[str, str]) -> None:
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(response.body())))
    for address in ("/", lesson["job"], lesson["model"], f"{lesson['model']}/inside"):
        sizes.clear()
        page.goto(address, wait_until="networkidle")
        assert sum(sizes) < 150_000, address
