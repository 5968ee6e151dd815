"""A Redis that takes connections and never answers: the slowest way to be away."""

import time
from collections.abc import Iterator

import pytest
import redis
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL
from worker import live
from worker.live import QUICK_SECONDS, SKIP_SECONDS
from worker.settings import Settings

FROZEN_SECONDS = 2.5
ATTEMPTS = 3  # this machine may stall too; whoever waits for Redis does so every time


@pytest.fixture(autouse=True)
def usual_patience(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the service, where the other tests have more of it."""
    monkeypatch.setattr(live, "QUICK_SECONDS", QUICK_SECONDS)


@pytest.fixture
def freeze(settings: Settings) -> Iterator[redis.Redis]:
    """Stops every answer when asked to; it goes on by itself, which is waited for."""
    with redis.Redis.from_url(settings.effective_redis_url, socket_timeout=20) as server:
        yield server
        server.ping()


def slowest_submit(client: FlaskClient) -> float:
    times = []
    for _ in range(4):
        began = time.monotonic()
        answer = client.post("/api/v1/jobs", json={"kind": "train", "text": TUTORIAL})
        times.append(time.monotonic() - began)
        assert answer.status_code == 202, answer.text
        assert client.get(answer.headers["Location"]).json["state"] == "queued"
    return max(times)


def test_accepting_a_job_does_not_wait_for_the_queue(
    client: FlaskClient, freeze: redis.Redis
) -> None:
    usual = slowest_submit(client)
    for _ in range(ATTEMPTS):
        time.sleep(SKIP_SECONDS + 0.1)  # how many workers there are must be asked again
        freeze.client_pause(int(FROZEN_SECONDS * 1000))
        frozen = slowest_submit(client)
        # Connecting and asking may each run into the short deadline; then nobody asks for a while.
        if frozen < 4 * usual + 3 * QUICK_SECONDS:
            return
        freeze.ping()
    pytest.fail(f"{frozen:.2f} s, otherwise {usual:.2f}")
