"""The unmodified `openai` package, old and new, against the whole service: `make test-clients`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import eventually
from tests.test_up import Service
from tests.web.answers import TUTORIAL
from tests.web.test_api_webhooks import Receiver

VERSIONS = ("1.30.0", "1.109.1", "2.54.0", "3.54.0")
ENVIRONMENTS = Path(os.environ.get("LSTMQ_TEST_CLIENTS", Path(sys.prefix) / "clients"))
SESSION = Path(__file__).with_name("session.py")
UNWRAP = Path(__file__).with_name("unwrap.py")
WITH_WEBHOOKS = VERSIONS[1:]  # older ones cannot check who signed a message


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service with everything that `lstmq up` starts."""
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    with Service(parent / "var", settings={"LSTMQ_WEBHOOK_PRIVATE_NETWORKS": "1"}) as service:
        yield service.url()
        service.stop(seconds=30)
    shutil.rmtree(parent)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_trains_and_completes(version: str, url: str, tmp_path: Path) -> None:
    python = ENVIRONMENTS / version / "bin" / "python"
    assert python.exists(), "run it with `make test-clients`, which installs the clients"
    run = subprocess.run(
        [python, SESSION, url, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert run.returncode == 0, run.stderr
    assert f"openai {version}: all good" in run.stdout


@pytest.fixture(scope="module")
def told(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a receiver was sent when trainings and a prediction ended."""
    receiver = Receiver()
    try:
        with httpx.Client(base_url=f"{url}/api/v1", timeout=90) as client:
            hook = client.post("/webhooks", json={"url": receiver.url}).json()
            client.post(f"/webhooks/{hook['id']}/test")
            train = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}}
            prompt = {"kind": "predict", "prompt": "what is your", "sampling": {"max_tokens": 1}}
            model = submit(client, train)["result"]["model"]
            assert submit(client, prompt | {"model": model})["state"] == "succeeded"
            long = {"preset": "word", "training": {"epochs": 100_000}}
            job = client.post("/jobs", json=train | {"config": long}).json()["id"]
            assert client.post(f"/jobs/{job}/cancel").status_code == 200
            eventually(lambda: len(receiver.requests) == 4)
            client.delete(f"/webhooks/{hook['id']}")
    finally:
        receiver.close()
    messages = [{"headers": headers, "body": body.decode()} for headers, body in receiver.requests]
    file = tmp_path_factory.mktemp("told") / "messages.json"
    file.write_text(json.dumps({"secret": hook["secret"], "messages": messages}))
    return file


def submit(client: httpx.Client, body: dict[str, object]) -> dict[str, object]:
    """The job of this body once it has ended."""
    answer = client.post("/jobs", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    job: dict[str, object] = answer.json()
    return job


@pytest.mark.parametrize("version", WITH_WEBHOOKS)
def test_the_client_accepts_our_messages(version: str, told: Path) -> None:
    python = ENVIRONMENTS / version / "bin" / "python"
    run = subprocess.run([python, UNWRAP, told], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, f"openai {version}: all accepted"), (
        run.stderr
    )
    types = [json.loads(each["body"])["type"] for each in json.loads(told.read_text())["messages"]]
    assert sorted(types) == [
        "fine_tuning.job.cancelled",
        "fine_tuning.job.succeeded",
        "predict.succeeded",
        "webhook.test",
    ]


def test_the_page_about_it_is_true(url: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "openai.md").read_text()
    code = page.split("```python\n")[1].split("```")[0].replace("http://127.0.0.1:8000", url)
    program = tmp_path / "page.py"
    program.write_text(code)
    python = ENVIRONMENTS / VERSIONS[-1] / "bin" / "python"
    run = subprocess.run([python, program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "Paris"), run.stderr


def test_the_page_about_http_is_true(url: str, told: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    code, printed = (
        "".join(re.findall(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
        for kind in ("python", "text")
    )
    code = code.replace("http://127.0.0.1:8000", url)
    # The page's own check of a signature, on what a receiver was sent.
    code += f"""
told = json.load(open({str(told)!r}))
secret = told["secret"]
for message in told["messages"]:
    assert is_ours(message["headers"], message["body"].encode())
    assert not is_ours(message["headers"], message["body"].encode() + b" ")
    assert not is_ours(message["headers"], message["body"].encode(), -1)
"""
    (tmp_path / "page.py").write_text(code)
    facts = [("france", "Paris"), ("india", "Delhi"), ("japan", "Tokyo"), ("kenya", "Nairobi")]
    lines = [f"what is the capital of {country} : {city}\n" for country, city in facts]
    (tmp_path / "capitals.txt").write_text("".join(lines))
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "page.py"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, printed), run.stderr
