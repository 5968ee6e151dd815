"""Requests a minute and wrong keys: limits that hold, let go, and slow nobody down."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient

from tests.processes import eventually
from tests.web.answers import problem_of
from web import create_app, limits
from web.limits import Limiter
from worker import keys
from worker.backend import Backend, open_backend
from worker.live import Live
from worker.settings import Settings

MOST = 5
WRONG_KEYS = 7
NOWHERE = "unix:///nowhere/valkey.sock"


@contextmanager
def asking(settings: Settings) -> Iterator[FlaskClient]:
    few = {"max_requests_per_minute": MOST, "api_keys": {"root": "admin-key"}}
    app = create_app(settings.model_copy(update=few))
    yield app.test_client()
    app.extensions["lstmq"].close()


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until somebody moves it, at the beginning of a minute."""
    clock = [60_000_000.0]
    monkeypatch.setattr(limits.time, "time", lambda: clock[0])
    return clock


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_key_over_its_limit_waits_and_others_do_not(settings: Settings, backend: Backend) -> None:
    ann, bob = (bearer(keys.create(backend, owner=owner)[1]) for owner in ("ann", "bob"))
    with asking(settings) as client:
        for left in range(MOST - 1, -1, -1):
            answer = client.get("/api/v1/models", headers=ann)
            assert answer.status_code == 200
            assert f"r={left};" in answer.headers["RateLimit"]
        refused = client.get("/api/v1/models", headers=ann)
        problem_of(refused, 429)
        assert 1 <= int(refused.headers["Retry-After"]) <= 120
        assert "r=0" in refused.headers["RateLimit"]
        assert client.get("/models", headers=ann).status_code == 429  # pages too
        assert client.get("/healthz", headers=ann).status_code == 200
        assert client.get("/api/v1/models", headers=bob).status_code == 200


def test_without_keys_nobody_is_counted(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_requests_per_minute": 1}))
    for _ in range(3):
        answer = app.test_client().get("/api/v1/models")
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers
    app.extensions["lstmq"].close()


def test_after_the_time_that_was_named_one_more_is_allowed(
    minute: list[float], backend: Backend
) -> None:
    """Whenever the requests came, and never sooner than by the sliding minute."""
    for pause in (0.0, 1.0, 7.3, 11.9, 29.0, 59.0, 61.0):
        limiter = Limiter(backend.live)
        for _ in range(40):
            allowance = limiter.take("ann", MOST)
            if allowance.retry_seconds:
                minute[0] += allowance.retry_seconds
                assert limiter.take("ann", MOST).retry_seconds == 0, pause
            minute[0] += pause
        minute[0] += 600


def test_no_minute_lets_through_more_than_the_limit_and_what_fades(
    minute: list[float], backend: Backend
) -> None:
    limiter, times = Limiter(backend.live), []
    for _ in range(2000):
        if limiter.take("ann", MOST).retry_seconds == 0:
            times.append(minute[0])
        minute[0] += 0.25
    for start in times:
        inside = [at for at in times if start <= at < start + 60]
        assert len(inside) <= 2 * MOST  # a sliding count is exact for an even flow only
    assert len(times) <= MOST * (2000 * 0.25 / 60 + 2)
    assert len(times) >= MOST * (2000 * 0.25 / 60 - 2)


def test_processes_know_of_each_other(
    minute: list[float], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHARE_SECONDS", 0.0)
    here, there = open_backend(settings), open_backend(settings)
    one, two = Limiter(here.live), Limiter(there.live)
    for _ in range(MOST - 1):
        one.take("ann", MOST)
        eventually(lambda: not one._sharing)
    assert two.take("ann", MOST).retry_seconds == 0
    eventually(lambda: not two._sharing)
    assert two.take("ann", MOST).retry_seconds > 0
    assert two.take("bob", MOST).retry_seconds == 0
    here.close()
    there.close()


def test_without_redis_each_process_keeps_the_limit_at_full_speed(settings: Settings) -> None:
    live = Live(NOWHERE)
    limiter = Limiter(live)
    allowed = sum(limiter.take("ann", MOST).retry_seconds == 0 for _ in range(100))
    assert allowed == MOST
    live.close()
    with asking(settings.model_copy(update={"redis_url": NOWHERE})) as client:
        key = bearer("admin-key")
        statuses = [client.get("/api/v1/models", headers=key).status_code for _ in range(MOST + 2)]
    assert statuses == [200] * MOST + [429] * 2


def test_a_flood_of_names_takes_no_more_memory(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_NAMES", 100)
    limiter = Limiter(backend.live)
    for number in range(1000):
        limiter.take(f"name {number}", MOST)
    assert len(limiter._counts) <= 101
    assert limiter.take("name 2000", MOST).retry_seconds > 0  # one of everybody else


def test_guessing_keys_is_slowed_and_locks_nobody_out(settings: Settings, backend: Backend) -> None:
    good = bearer(keys.create(backend, owner="ann")[1])
    limits = {"max_requests_per_minute": 0, "max_wrong_keys_per_minute": WRONG_KEYS}
    app = create_app(settings.model_copy(update=limits))
    client = app.test_client()
    assert client.get("/api/v1/jobs", headers=good).status_code == 200
    for number in range(WRONG_KEYS):
        problem_of(client.get("/api/v1/jobs", headers=bearer(f"guess {number}")), 401)
    refused = client.get("/api/v1/jobs", headers=bearer("one more"))
    problem_of(refused, 429)
    assert int(refused.headers["Retry-After"]) >= 1
    # who was right before goes on; another key of the same address is not even looked at
    assert client.get("/api/v1/jobs", headers=good).status_code == 200
    late = bearer(keys.create(backend, owner="bob")[1])
    problem_of(client.get("/api/v1/jobs", headers=late), 429)
    elsewhere = {"REMOTE_ADDR": "203.0.113.9"}
    answer = client.get("/api/v1/jobs", headers=late, environ_overrides=elsewhere)
    assert answer.status_code == 200
    # the form of the pages is slowed as well, and a whole network of IPv6 is one address
    for number in range(WRONG_KEYS + 1):
        address = {"REMOTE_ADDR": f"2001:db8::{number:x}"}
        last = client.get(
            "/api/v1/jobs", headers=bearer(f"guess {number}"), environ_overrides=address
        )
    problem_of(last, 429)
    page = client.get("/sign-in").text
    token = page.partition('csrf_token" value="')[2].partition('"')[0]
    shown = client.post("/sign-in", data={"csrf_token": token, "key": "another guess"})
    assert shown.status_code == 429
    app.extensions["lstmq"].close()
    app = create_app(settings.model_copy(update=limits | {"max_wrong_keys_per_minute": 0}))
    for number in range(WRONG_KEYS + 1):
        guess = bearer(f"guess {number}")
        problem_of(app.test_client().get("/api/v1/jobs", headers=guess), 401)
    app.extensions["lstmq"].close()


def test_counting_costs_a_request_next_to_nothing(backend: Backend) -> None:
    limiter = Limiter(backend.live)
    began = time.process_time()
    for _ in range(10_000):
        limiter.take("ann", 10**9)
    assert time.process_time() - began < 2.0  # 200 µs each on the slowest machine; really about 3
