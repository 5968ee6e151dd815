"""A real service and a real browser: Debian's Chromium, driven by Playwright."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.journeys import start_training
from tests.processes import MARK, PATIENCE_SECONDS, eventually, marked
from tests.web.answers import TUTORIAL

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# No sandbox: tests run as root in containers. The rest keeps the browser from calling home.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ARTIFACTS = Path(__file__).parents[1] / "artifacts"
PHONE, DESK = 390, 1280
WIDTHS = (PHONE, DESK)
HEIGHTS = {PHONE: 844, DESK: 800}

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of a whole running service with an empty data folder."""
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))  # short: it holds a socket
    mark, log = secrets.token_hex(8), parent / "log"
    clean = {name: value for name, value in os.environ.items() if name[:6] != "LSTMQ_"}
    command = [sys.executable, "-m", "web.cli", "up", "--port", "0", "--data-dir", parent / "var"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env={**clean, MARK: mark, "LSTMQ_SLICE_SECONDS": "2"},
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: "ready on" in log.read_text() or process.poll() is not None)
        found = re.search(r"ready on (\S+)", log.read_text())
        assert found, log.read_text()
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.rmtree(parent)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is not there: apt-get install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def lesson(browser: Browser, service: str) -> dict[str, str]:
    """A finished training of the tutorial's lines: the addresses of its job and its model."""
    context = browser.new_context(base_url=service)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    job = start_training(page, TUTORIAL, "tutorial", "The lesson")
    page.get_by_role("link", name="Try the model").click()
    page.wait_for_url("**/models/*")
    model = urlsplit(page.url).path
    context.close()
    return {"job": job, "model": model}


@pytest.fixture
def context(browser: Browser, service: str) -> Iterator[BrowserContext]:
    """A person's browser at a desk; nothing remembered from other tests."""
    opened = browser.new_context(
        base_url=service, viewport={"width": DESK, "height": HEIGHTS[DESK]}, reduced_motion="reduce"
    )
    opened.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield opened
    opened.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: a test may take out what it provoked."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    """A tab in which an error, a warning or a breach of the content policy fails the test."""
    tab = context.new_page()
    watch(tab, complaints)
    yield tab
    assert complaints == []


def watch(tab: Page, complaints: list[str]) -> None:
    """Note every complaint of a tab."""
    tab.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    tab.on("pageerror", lambda error: complaints.append(str(error)))


def keep_picture(tab: Page, name: str) -> None:
    """Save what the page looks like as an artefact of the run."""
    ARTIFACTS.mkdir(exist_ok=True)
    tab.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
