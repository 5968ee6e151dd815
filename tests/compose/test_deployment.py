"""The real deployment: images, containers, a job over HTTP with the key, everything down again.

Needs a Docker daemon with Compose v2; `make test-compose` runs it. The images are built once.
"""

import re
import sys

import httpx
import pytest

from tests.compose.deployment import (
    BUILD_SECONDS,
    DOWN_SECONDS,
    ROOT,
    UP_SECONDS,
    Deployment,
    docker,
)
from tests.compose.hardening import assert_hardened
from web.client import Client
from web.pages.wording import STATE_WORDS
from worker.records import JobState

LESSON = ROOT / "web" / "samples" / "tutorial.txt"
pytestmark = pytest.mark.timeout(BUILD_SECONDS + UP_SECONDS + DOWN_SECONDS)


def test_a_job_goes_the_whole_way_with_the_key(deployment: Deployment) -> None:
    with Client(deployment.url, deployment.key) as client:
        assert client.readiness() == ""
        job = client.train(client.upload(LESSON)["id"], config={"preset": "tutorial"})
        done = client.finished(job["id"])
        assert done["state"] == "succeeded", done["error"]
        answer = client.predict(
            done["result"]["model"], ["what is capital of"], {"temperature": 0, "max_tokens": 1}
        )[0]
    assert answer["completions"][0]["text"].strip() == "india"


def test_nobody_gets_in_without_the_key(deployment: Deployment) -> None:
    assert httpx.get(f"{deployment.url}/api/v1/jobs").status_code == httpx.codes.UNAUTHORIZED
    page = httpx.get(f"{deployment.url}/")
    assert page.status_code == httpx.codes.SEE_OTHER
    assert page.headers["Location"].startswith("/sign-in")
    assert httpx.get(f"{deployment.url}/healthz").status_code == httpx.codes.OK


def test_the_form_trains_for_a_browser_on_the_host(deployment: Deployment) -> None:
    """What a browser does: sign in, fill in the form, be led to the job, look until it is done."""
    with httpx.Client(
        base_url=deployment.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60
    ) as browser:
        led = browser.post("/sign-in", data={"csrf_token": token(browser), "key": deployment.key})
        assert led.status_code == httpx.codes.SEE_OTHER
        form = {"text": LESSON.read_text(), "preset": "tutorial", "name": "from the form"}
        assert "press the button once more" in browser.post("/", data=form).text  # no token
        led = browser.post("/", data=form | {"csrf_token": token(browser, "/")})
        assert led.status_code == httpx.codes.SEE_OTHER
        job = led.headers["Location"].rpartition("/")[2]
        while not browser.get(f"/api/v1/jobs/{job}", params={"wait": 10}).json()["finished_at"]:
            pass
        page = browser.get(led.headers["Location"])
        assert "from the form" in page.text
        assert STATE_WORDS[JobState.SUCCEEDED] in page.text
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}
        form["csrf_token"] = token(browser, "/")
        assert browser.post("/", data=form, headers=foreign).status_code == httpx.codes.FORBIDDEN


def token(browser: httpx.Client, page: str = "/sign-in") -> str:
    """What the page's own form would send along."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(page).text)
    assert found
    return found[1]


def test_every_container_is_unprivileged_read_only_bounded_and_closed(
    deployment: Deployment,
) -> None:
    deployment.scale(worker=2, predictor=1)
    assert_hardened(deployment)


def test_the_code_is_not_writable_and_no_capability_is_left(deployment: Deployment) -> None:
    for service in ("web", "worker", "predictor", "sweeper"):
        code = "import os; print(os.getuid(), os.access('/opt/lstmq', os.W_OK), os.access('/', 2))"
        assert deployment.inside(service, code) == "10001 False False"
        status = deployment.inside(service, "print(open('/proc/self/status').read())")
        assert re.search(r"CapEff:\s+0+$", status, re.MULTILINE)
        assert re.search(r"NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_the_web_image_has_no_torch(deployment: Deployment) -> None:
    code = "import importlib.util as u; print(u.find_spec('torch') is None)"
    assert deployment.inside("web", code) == "True"
    assert deployment.inside("worker", code) == "False"


@pytest.mark.parametrize(("part", "most_megabytes"), [("web", 250), ("worker", 1000)])
def test_the_images_are_small(
    deployment: Deployment, tag: str, part: str, most_megabytes: int
) -> None:
    """What is ours in them; docs/operations.md tells how large they are."""
    told = docker("run", "--rm", f"lstmq-{part}:{tag}", "du", "-sm", "/opt/lstmq")
    sys.stdout.write(f"\n{part}: {told}")
    assert int(told.split()[0]) < most_megabytes


def test_everything_survives_a_restart_of_everything(deployment: Deployment) -> None:
    with Client(deployment.url, deployment.key) as client:
        before = {model["id"] for model in client.newest("models")}
        deployment.compose("down")
        deployment.compose("up", "-d", "--wait", "--no-build")
        assert {model["id"] for model in client.newest("models")} == before != set()
