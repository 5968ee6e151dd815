"""A person with a key: from the sign-in page to their jobs and out again, in a real browser."""

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from tests.browser.conftest import PHONE, keep_picture, watch
from tests.browser.journeys import assert_accessible, box, start_training
from tests.processes import PATIENCE_SECONDS
from tests.web.answers import TUTORIAL
from web import create_app
from worker import keys
from worker.backend import Backend
from worker.settings import Settings

OWNER = "ann of the house with a very long name"


@pytest.fixture
def address(backend: Backend, settings: Settings) -> Iterator[str]:
    """Where pages are that need a key; no workers, so jobs stay in the queue."""
    keys.create(backend, owner="root", role="admin")
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["lstmq"].close()


def test_a_key_opens_the_pages_until_one_signs_out(
    browser: Browser, address: str, backend: Backend
) -> None:
    _, token = keys.create(backend, owner=OWNER)
    context = browser.new_context(base_url=address, viewport={"width": PHONE, "height": 844})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    complaints: list[str] = []
    watch(page, complaints)

    page.goto("/jobs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert_accessible(page)
    keep_picture(page, "sign-in")
    key = page.get_by_label("Your key")
    expect(key).to_be_focused()
    key.fill("lm_not_a_key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known")
    assert_accessible(page)
    assert len(complaints) == 1  # the browser reports the 401
    complaints.clear()

    page.get_by_label("Your key").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/jobs")
    expect(page.get_by_text(OWNER)).to_be_visible()
    assert_accessible(page)
    keep_picture(page, "signed-in")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE

    # the page's scripts and forms work with the session
    job = start_training(page, TUTORIAL, "tutorial", "With a key")
    expect(page.locator(".badge.queued")).to_be_visible()
    assert page.evaluate("fetch('/api/v1/jobs').then(answer => answer.status)") == 200
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge.cancelled")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto(job)
    expect(box(page, "Your key").or_(page.get_by_label("Your key"))).to_be_visible()
    assert complaints == []
    context.close()
