"""The real deployment: images, containers, a job over HTTP with the key, everything down again.

Needs a Docker daemon with Compose v2; `make test-compose` runs it. The images are built once.
"""

import re

import httpx
import pytest

from tests.compose.deployment import BUILD_SECONDS, DOWN_SECONDS, ROOT, UP_SECONDS, Deployment
from web.client import Client

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


def test_only_the_web_server_is_published_and_on_this_machine_only(
    deployment: Deployment,
) -> None:
    published = {
        (container["Service"], port["URL"], port["PublishedPort"])
        for container in deployment.containers()
        for port in container["Publishers"] or []
        if port["PublishedPort"]
    }
    assert published == {("web", "127.0.0.1", deployment.port)}


def test_the_containers_are_unprivileged_and_read_only(deployment: Deployment) -> None:
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


def test_everything_survives_a_restart_of_everything(deployment: Deployment) -> None:
    with Client(deployment.url, deployment.key) as client:
        before = {model["id"] for model in client.newest("models")}
        deployment.compose("down")
        deployment.compose("up", "-d", "--wait", "--no-build")
        assert {model["id"] for model in client.newest("models")} == before != set()
