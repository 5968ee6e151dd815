"""Many workers: jobs spread, workers and queue are killed, workers go and come; nothing is lost."""

import os
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.compose.deployment import ROOT, Deployment, docker
from tests.compose.hardening import assert_hardened
from tests.processes import eventually
from web.client import Client, Json

pytestmark = pytest.mark.timeout(900)

JOBS, WORKERS = 30, 3
PROSE = "the cat sat on the mat, and the dog lay by the door of the house.\n" * 60
CONFIG = {"preset": "char", "model": {"hidden_dim": 32, "layers": 1}, "training": {"epochs": 6}}
CLIENTS = ROOT / ".venv" / "clients"


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
        while len(hosts(client, jobs)) < WORKERS:
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


def test_threads_are_shared_among_workers_and_bounded_by_a_container(
    deployment: Deployment, tag: str
) -> None:
    cores = len(os.sched_getaffinity(0))
    for limit, most in (((), cores), (("--cpus", "1.5"), 1), (("--cpuset-cpus", "0"), 1)):
        code = "from worker import cores; print(cores.most())"
        run = ("run", "--rm", *limit, f"lstmq-worker:{tag}", "python", "-c", code)
        assert int(docker(*run)) == most
    try:
        deployment.settings["LSTMQ_THREADS"] = "0"
        deployment.compose("up", "-d", "--wait", "--no-build", "--scale", "worker=2", "worker")
        eventually(lambda: reported(deployment) == [max(1, cores // 2)] * 2, seconds=30)
        deployment.settings |= {"LSTMQ_WORKER_CPUS": "1", "LSTMQ_THREADS": "64"}
        deployment.compose("up", "-d", "--wait", "--no-build", "--scale", "worker=2", "worker")
        eventually(lambda: reported(deployment) == [1, 1], seconds=30)
    finally:
        for name in ("LSTMQ_THREADS", "LSTMQ_WORKER_CPUS"):
            deployment.settings.pop(name, None)
        deployment.scale(worker=WORKERS)


def reported(deployment: Deployment) -> list[int]:
    """The threads that training workers say they compute with."""
    bearer = {"Authorization": f"Bearer {deployment.key}"}
    found = httpx.get(f"{deployment.url}/api/v1/workers", headers=bearer).json()["data"]
    return [worker["threads"] for worker in found if worker["queue"] == "train"]


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


def test_the_postgres_profile_keeps_everything_over_a_restart(
    deployment: Deployment, tag: str, tmp_path: Path
) -> None:
    on_postgres = Deployment(tmp_path, tag)
    on_postgres.on_postgres()
    try:
        on_postgres.compose("up", "-d", "--wait", "--no-build")
        with Client(on_postgres.url, on_postgres.key) as client:
            [job] = submit(client, 1, CONFIG)
            assert client.finished(job)["state"] == "succeeded"
            assert_a_training_survives_without_records(on_postgres, client)
            on_postgres.compose("down")
            on_postgres.compose("up", "-d", "--wait", "--no-build")
            assert client.job(job)["state"] == "succeeded"
        code = "from worker.settings import Settings; print(Settings().effective_database_url[:10])"
        assert on_postgres.inside("worker", code) == "postgresql"
        assert_hardened(on_postgres)
    finally:
        on_postgres.down()


def assert_a_training_survives_without_records(on_postgres: Deployment, client: Client) -> None:
    """The database is away for longer than a lease; what is missing is said meanwhile."""
    [job] = submit(client, 1, CONFIG | {"training": {"epochs": 200}})
    while not client.job(job)["progress"]["step"]:
        time.sleep(0.2)
    on_postgres.compose("stop", "postgres")
    ready = httpx.get(f"{on_postgres.url}/readyz")
    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert ready.json()["checks"]["database"]
    bearer = {"Authorization": f"Bearer {on_postgres.key}"}
    refused = httpx.get(f"{on_postgres.url}/api/v1/jobs", headers=bearer)
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert refused.headers["Retry-After"]
    time.sleep(25)
    on_postgres.compose("start", "postgres")
    on_postgres.scale()
    assert client.finished(job)["state"] == "succeeded"
