"""The README's pictures, taken of a running service: `make pictures`.

Starts a service of its own, trains on the bundled facts and on the project's own prose, and takes
the pages as a person sees them. Needs Chromium, as the tests do.
"""

import base64
import os
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.service import running

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FACTS = (ROOT / "web" / "samples" / "facts.txt").read_text()
PROSE = "\n".join(
    (ROOT / name).read_text() for name in ("README.md", "DESIGN.md", "docs/durability.md")
)
QUALITY = 82
PATIENCE_SECONDS = 300


def main() -> None:
    """Train, look, and keep the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="lstmq-") as folder,
        running(Path(folder)) as (url, _),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with httpx.Client(base_url=f"{url}/api/v1", timeout=60) as client:
            facts = train(client, "Facts and capitals", FACTS, {})
            finish(client, facts)
            letters = train(client, "This project, letter by letter", PROSE, {"preset": "char"})
            small = {"preset": "char", "model": {"hidden_dim": 96}}
            smaller = train(client, "The same with fewer cells", PROSE, small)
            half_done(client, letters)
            take(browser, url, f"/jobs/{letters}", "job", after=1.5)
            take(browser, url, f"/jobs/{letters}", "job-dark", after=1.5, scheme="dark")
            finish(client, letters)
            finish(client, smaller)
            model = client.get(f"/jobs/{facts}").json()["result"]["model"]
        take(browser, url, "/?sample=facts", "start", after=2.5)
        take(browser, url, f"/compare?job={letters}&job={smaller}", "compare", after=1.0)
        take(browser, url, f"/models/{model}", "model", after=2.0)
        lesson = quote("what is the capital of canada")
        take(browser, url, f"/models/{model}/inside?text={lesson}", "inside", after=2.0)
        browser.close()


def train(client: httpx.Client, name: str, text: str, config: dict[str, object]) -> str:
    """Start a training; its id."""
    body = {"kind": "train", "name": name, "text": text, "config": config}
    response = client.post("/jobs", json=body)
    response.raise_for_status()
    return str(response.json()["id"])


def finish(client: httpx.Client, job: str) -> None:
    """Wait for a training's end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        state = client.get(f"/jobs/{job}", params={"wait": 30}).json()["state"]
        if state == "succeeded":
            return
    raise SystemExit(f"{job} did not finish")


def half_done(client: httpx.Client, job: str) -> None:
    """Wait until there is something to see."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while client.get(f"/jobs/{job}").json()["progress"]["fraction"] < 0.6:  # noqa: PLR2004
        if time.monotonic() > deadline:
            raise SystemExit(f"{job} is too slow")
        time.sleep(0.5)


def take(
    browser: Browser, url: str, address: str, name: str, *, after: float, scheme: str = "light"
) -> None:
    """One picture, some seconds after the page came."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 880},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page: Page = context.new_page()
    page.goto(url + address)
    if name == "model":
        page.fill("#prompt", "what is the capital of canada")
    page.wait_for_timeout(1000 * after)
    if name == "inside":
        page.locator("#steps-title").evaluate("title => title.scrollIntoView()")
    session = context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    (FOLDER / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))
    context.close()


if __name__ == "__main__":
    main()
