"""A new release while trainings run, wait and are paused: nothing is lost or done twice."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose import next_release
from tests.compose.deployment import BUILD_SECONDS, ROOT, Deployment, docker, has_image
from tests.compose.test_scaling import PROSE
from web.client import FINAL, Client, Json
from worker.database import SCHEMA_REVISION

pytestmark = pytest.mark.timeout(900)

WORKERS = 3
CONFIG = {"preset": "char", "model": {"hidden_dim": 32, "layers": 1}, "training": {"epochs": 240}}
COUNT_MIGRATIONS = """
import sqlalchemy as sa
from worker.database import Database
from worker.settings import Settings
with Database(Settings().effective_database_url).reading() as connection:
    print(connection.scalar(sa.text('select sum(times) from migrated')))
"""


@pytest.fixture(scope="module")
def newer(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The next release's folder; its images, which are built, have a tag of their own."""
    folder = next_release.make(tmp_path_factory.mktemp("next"))
    release = Deployment(tmp_path_factory.mktemp("building"), f"{tag}-next")
    release.root = folder
    release.compose("build", seconds=BUILD_SECONDS)
    yield folder
    for image in (f"lstmq-web:{tag}-next", f"lstmq-worker:{tag}-next"):
        if has_image(image):
            docker("image", "rm", image)


@pytest.mark.parametrize("records", ["sqlite", "postgres"])
def test_an_upgrade_with_a_migration_in_the_middle_of_trainings(
    deployment: Deployment, newer: Path, tag: str, tmp_path: Path, records: str
) -> None:
    ours = Deployment(tmp_path, tag, LSTMQ_MAX_ACTIVE_JOBS="0", LSTMQ_SLICE_SECONDS="3")
    if records == "postgres":
        ours.on_postgres()
    try:
        ours.scale(worker=WORKERS)
        with Client(ours.url, ours.key) as client:
            jobs = begin(client, ours)
            ours.root, ours.settings["LSTMQ_TAG"] = newer, f"{tag}-next"
            # The workers first, all at once: the web server is the old one for a moment.
            workers = ("--scale", f"worker={WORKERS}", "worker")
            ours.compose("up", "-d", "--wait", "--no-build", "--no-deps", *workers)
            assert_skew_is_said(ours)
            ours.compose("up", "-d", "--wait", "--no-build", "--scale", f"worker={WORKERS}")
            assert ours.inside("web", COUNT_MIGRATIONS) == "1"
            assert httpx.get(f"{ours.url}/readyz").json()["other_versions"] == []
            restarts = {name: found["RestartCount"] for name, found in ours.inspected().items()}
            assert set(restarts.values()) == {0}, restarts
            ask(ours, f"jobs/{jobs[1]}/resume")
            assert_went_on(client, jobs)
        assert_the_old_release_stays_out(ours, tag)
    finally:
        ours.down()


def begin(client: Client, ours: Deployment) -> list[str]:
    """The same training many times: one done, one paused in the middle, others run or wait."""
    text = client.create_text("prose", PROSE)["id"]
    first, paused, *others = (client.train(text, config=CONFIG)["id"] for _ in range(7))
    while not client.job(paused)["progress"]["step"]:
        time.sleep(0.1)
    ask(ours, f"jobs/{paused}/pause")
    client.finished(first)
    while (state := client.job(paused)["state"]) != "paused":
        assert state not in FINAL, state
        time.sleep(0.1)
    return [first, paused, *others]


def ask(ours: Deployment, path: str) -> None:
    bearer = {"Authorization": f"Bearer {ours.key}"}
    httpx.post(f"{ours.url}/api/v1/{path}", headers=bearer).raise_for_status()


def assert_skew_is_said(ours: Deployment) -> None:
    """By everything that an operator looks at, while the service stays ready."""
    ready = httpx.get(f"{ours.url}/readyz")
    assert ready.status_code == httpx.codes.OK
    others = ready.json()["other_versions"]
    assert len(others) == WORKERS
    assert all(f"{next_release.VERSION}, tables {next_release.TABLES}" in each for each in others)
    told = ours.compose("exec", "-T", "-e", f"LSTMQ_API_KEY={ours.key}", "web", "lstmq", "status")
    assert "of another version, restart them" in told
    bearer = {"Authorization": f"Bearer {ours.key}"}
    page = httpx.get(f"{ours.url}/workers", headers=bearer).text
    assert "Some workers run another version" in page
    assert f"tables {SCHEMA_REVISION}" in page


def assert_went_on(client: Client, jobs: list[str]) -> None:
    """Every training ends as the one that no upgrade touched, each step taken once."""
    ended = [client.finished(job) for job in jobs]
    assert [job["state"] for job in ended] == ["succeeded"] * len(jobs)
    assert len({job["metrics"]["train_loss"] for job in ended}) == 1
    assert len({job["metrics"]["validation_loss"] for job in ended}) == 1
    across = 0
    for job in ended:
        told = client.events(job["id"])
        slices = [event["data"] for event in told if event["type"] == "slice"]
        assert not [event for event in told if "lost" in str(event["data"].get("message", ""))]
        assert sum(map(steps, slices)) == job["progress"]["total_steps"]
        across += len({each["worker"] for each in slices}) > 1
    assert across  # at least the one that was paused


def steps(slice_: Json) -> int:
    return int(slice_["to_step"] - slice_["from_step"])


def assert_the_old_release_stays_out(ours: Deployment, tag: str) -> None:
    """It says why, and ends; it touches no record."""
    ours.root, ours.settings["LSTMQ_TAG"] = ROOT, tag
    for service in ("worker", "predictor", "sweeper", "web"):
        told = ours.compose("run", "--rm", "--no-deps", "-T", service, fails=True)
        assert "made by a newer lstmq" in told, service
        assert "start the newer version, or restore a backup" in told, service
