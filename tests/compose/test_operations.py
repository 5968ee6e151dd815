"""What docs/operations.md tells an operator to type is typed, and does what the page says."""

import os
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.compose.deployment import PROMETHEUS, ROOT, Deployment, need
from tests.compose.test_scaling import CONFIG, submit
from web.client import Client

pytestmark = pytest.mark.timeout(600)

PAGE = (ROOT / "docs" / "operations.md").read_text()


def blocks(heading: str) -> list[list[str]]:
    """The commands of each console block below a heading."""
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    consoles = re.findall(r"^```console\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)
    return [re.findall(r"^\$ (.+)$", console, re.MULTILINE) for console in consoles]


def type_in(ours: Deployment, folder: Path, commands: list[str]) -> None:
    """As somebody does whose .env and folder these are."""
    secrets = dict(
        line.split("=", 1) for line in ours.secrets.read_text().splitlines() if "=" in line
    )
    environment = {
        **os.environ,
        **secrets,
        **ours.settings,
        "LSTMQ_PORT": str(ours.port),
        "COMPOSE_PROJECT_NAME": ours.project,
        "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
    }
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


@pytest.mark.parametrize(
    ("heading", "records"), [("Backup and restore", "sqlite"), ("With Postgres", "postgres")]
)
def test_a_backup_restored_elsewhere_has_everything(
    deployment: Deployment, tag: str, tmp_path: Path, heading: str, records: str
) -> None:
    backup, restore = blocks(heading)
    ours = Deployment(tmp_path, tag)
    if records == "postgres":
        ours.on_postgres()
    try:
        ours.scale(worker=1)
        with Client(ours.url, ours.key) as client:
            [done] = submit(client, 1, CONFIG)
            model = client.finished(done)["result"]["model"]
            [running] = submit(client, 1, CONFIG | {"training": {"epochs": 400}})
            while not client.job(running)["slices"]:
                time.sleep(0.2)
            type_in(ours, tmp_path, backup)
            ours.down()
            type_in(ours, tmp_path, restore)
            assert client.job(done)["state"] == "succeeded"
            assert client.predict(model, ["the cat"], {"max_tokens": 3})
            assert client.finished(running)["state"] == "succeeded"
    finally:
        ours.down()


def test_a_class_gets_a_key_each(deployment: Deployment, tmp_path: Path) -> None:
    command = next(
        command for block in blocks("First start") for command in block if "class.txt" in command
    )
    (tmp_path / "class.txt").write_text("ann\nbob\n")
    type_in(deployment, tmp_path, [command])
    lines = [line.split() for line in (tmp_path / "keys.txt").read_text().splitlines()]
    assert [name for name, _ in lines] == ["ann", "bob"]
    for _, key in lines:
        bearer = {"Authorization": f"Bearer {key}"}
        assert httpx.get(f"{deployment.url}/api/v1/jobs", headers=bearer).json()["data"] == []


def test_monitoring_reads_the_metrics_with_its_key(
    deployment: Deployment,
) -> None:
    need(PROMETHEUS)
    make = ("lstmq", "keys", "create", "monitor", "--role", "viewer")
    key = deployment.compose("exec", "-T", "web", *make).strip()
    deployment.settings |= {"LSTMQ_METRICS_KEY": key, "COMPOSE_PROFILES": "monitoring"}
    try:
        deployment.compose("up", "-d", "--wait", "--no-build", "--no-recreate", "prometheus")
        rules = ("promtool", "check", "config", "/etc/prometheus/prometheus.yml")
        assert "7 rules found" in deployment.compose("exec", "-T", "prometheus", *rules)
        assert ask(deployment, "up") == {"1"}
        assert ask(deployment, 'lstmq_workers{queue="train"}') > {"0"}
    finally:
        deployment.compose("rm", "-sf", "prometheus")
        for name in ("LSTMQ_METRICS_KEY", "COMPOSE_PROFILES"):
            del deployment.settings[name]


def ask(deployment: Deployment, query: str) -> set[str]:
    """The values that Prometheus has for it, once it has read the metrics."""
    code = (
        "import json, urllib.parse, urllib.request as r;"
        f"q = urllib.parse.quote({query!r});"
        "print(r.urlopen('http://prometheus:9090/api/v1/query?query=' + q).read().decode())"
    )
    deadline = time.monotonic() + 60
    while True:
        found = httpx.Response(200, content=deployment.inside("web", code)).json()
        values = {each["value"][1] for each in found["data"]["result"]}
        if values - {"0"} or time.monotonic() > deadline:
            return values
        time.sleep(1)
