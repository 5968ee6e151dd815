"""What people do on the pages again and again."""

from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect


def box(page: Page, name: str) -> Locator:
    """A box to type in, by its label."""
    return page.get_by_role("textbox", name=name)


def start_training(page: Page, text: str, preset: str, name: str = "", **settings: str) -> str:
    """Fill the form and send it; the address of the job's page."""
    page.goto("/")
    box(page, "Your text").fill(text)
    page.locator(f'input[name="preset"][value="{preset}"]').check()
    box(page, "Name").fill(name)
    if settings:
        page.get_by_text("Advanced settings").click()
    for field, value in settings.items():
        page.locator(f'[name$=".{field}"]').fill(value)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/jobs/*")
    return urlsplit(page.url).path


def reach(page: Page, state: str) -> None:
    """Wait, without a reload, until the job's page says that it is in a state."""
    expect(page.locator(f".badge.{state}")).to_be_visible()


def assert_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
