"""Many workers: jobs spread, workers and queue are killed, workers go and come; nothing is lost."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.compose.deployment import ROOT, Deployment
from web.client import Client, Json

pytestmark = pytest.mark.timeout(900)

JOBS, WORKERS = 30, 3
PROSE = "the cat sat on the mat, and the dog lay by the door of the house.\n" * 60
CONFIG = {"preset": "char", "model": {"hidden_dim": 32, "layers": 1}, "training": {"epochs": 6}}
CLIENTS = ROOT / ".venv" / "clients"
POSTGRES = "postgres:17-alpine"


def submit(client: Client, count: int, config: Json) -> list[str]:
    text = client.create_text("prose", PROSE)
    return [client.train(text["id"], name=f"job {n}", config=config)["id"] for n in range(count)]


def hosts(client: Client, jobs: list[str]) -> set[str]:
    """The workers that published a slice of one of these jobs."""
    told = [event for job in jobs for event in client.events(job) if event["type"] == "slice"]
    return {event["data"]["worker"] for event in told}


def test_thirty_jobs_over_three_workers_survive_two_kills(deployment: Deployment) -> None:
    deployment.scale(worker=WORKERS)
    with Client(deployment.url, deployment.key) as client:
        jobs = submit(client, JOBS // 2, CONFIG)
        jobs += submit(client, JOBS - len(jobs), CONFIG)
        while not any(client.job(job)["state"] == "running" for job in jobs):
            time.sleep(0.2)
        deployment.kill("worker")
        deployment.kill("redis")
        deployment.scale(worker=WORKERS)  # what was killed by hand is started by hand
        ended = [client.finished(job) for job in jobs]
        assert [job["state"] for job in ended] == ["succeeded"] * JOBS
        assert len({job["result"]["model"] for job in ended}) == JOBS
        # The same training everywhere: the same loss, whoever trained it and whatever was killed.
        assert len({job["metrics"]["train_loss"] for job in ended}) == 1
        assert len(hosts(client, jobs)) >= WORKERS


def test_scaling_down_in_the_middle_loses_nothing_and_up_again_helps(
    deployment: Deployment,
) -> None:
    deployment.scale(worker=WORKERS)
    longer = CONFIG | {"training": {"epochs": 40}}
    with Client(deployment.url, deployment.key) as client:
        jobs = submit(client, 6, longer)
        while not any(client.job(job)["progress"]["step"] for job in jobs):
            time.sleep(0.2)
        deployment.scale(worker=1)
        deployment.scale(worker=WORKERS)
        ended = [client.finished(job) for job in jobs]
        assert [job["state"] for job in ended] == ["succeeded"] * len(jobs)
        told = [event["data"].get("message", "") for job in jobs for event in client.events(job)]
        assert not any("lost" in message for message in told)


@pytest.mark.parametrize("version", ["1.30.0", "3.54.0"])
def test_openai_clients_old_and_new_from_the_host(
    deployment: Deployment, tmp_path: Path, version: str
) -> None:
    python = CLIENTS / version / "bin" / "python"
    done = subprocess.run(
        [python, ROOT / "tests" / "clients" / "session.py", deployment.url, tmp_path],
        env=os.environ | {"LSTMQ_API_KEY": deployment.key, "LSTMQ_OWNER": "admin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_log_lines_lead_from_a_request_to_its_slices(deployment: Deployment) -> None:
    with Client(deployment.url, deployment.key) as client:
        [job] = submit(client, 1, CONFIG)
        client.finished(job)
    logs = deployment.compose("logs", "--no-color", "--no-log-prefix", "web", "worker")
    lines = [line for line in logs.splitlines() if f'"job": "{job}"' in line]
    requests = {found[1] for line in lines if (found := re.search(r'"request": "([^"]+)"', line))}
    assert any('"part": "web"' in line for line in lines)
    assert any('"part": "worker"' in line and '"slice": 1' in line for line in lines)
    assert len({line for line in lines if '"part": "worker"' in line}) >= 1
    assert requests


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, deployment: Deployment) -> Deployment:
    """The same images with their records in Postgres; the first deployment makes room."""
    known = subprocess.run(
        ["docker", "image", "inspect", POSTGRES], capture_output=True, check=False
    )
    pulled = (
        known.returncode == 0
        or (
            subprocess.run(["docker", "pull", "-q", POSTGRES], capture_output=True, check=False)
        ).returncode
        == 0
    )
    if not pulled:
        stand_in = ROOT / "tests" / "compose" / "postgres.Dockerfile"
        build = ["docker", "build", "-q", "-t", POSTGRES, "-f", str(stand_in), str(stand_in.parent)]
        subprocess.run(build, check=True, capture_output=True)
    made = Deployment(tmp_path_factory.mktemp("on-postgres"))
    found = re.search(r"^POSTGRES_PASSWORD=(\S+)", made.secrets.read_text(), re.MULTILINE)
    assert found
    url = f"postgresql://lstmq:{found[1]}@postgres/lstmq"
    made.settings = {"LSTMQ_DATABASE_URL": url, "COMPOSE_PROFILES": "postgres"}
    return made


def test_the_postgres_profile_keeps_everything_over_a_restart(on_postgres: Deployment) -> None:
    try:
        on_postgres.compose("up", "-d", "--wait", "--no-build")
        with Client(on_postgres.url, on_postgres.key) as client:
            [job] = submit(client, 1, CONFIG)
            assert client.finished(job)["state"] == "succeeded"
            on_postgres.compose("down")
            on_postgres.compose("up", "-d", "--wait", "--no-build")
            assert client.job(job)["state"] == "succeeded"
        code = "from worker.settings import Settings; print(Settings().effective_database_url[:10])"
        assert on_postgres.inside("worker", code) == "postgresql"
    finally:
        on_postgres.compose("down", "-v")
