"""The sweep: lost leases, unanswered wishes and lost messages."""

import time
from dataclasses import replace

import pytest
import redis
import sqlalchemy as sa

from tests.processes import eventually
from tests.worker.conftest import Submit
from tests.worker.test_leases import claimed, expire, more
from worker import database, events, jobs, leases, recovery
from worker.backend import Backend
from worker.records import JobState

pytestmark = pytest.mark.parametrize("redis_server", ["valkey", "redis"], indirect=True)


def backdate(backend: Backend, column: str, seconds: float) -> None:
    """Make something as old as if we had waited."""
    with backend.database.writing() as connection:
        connection.execute(sa.update(database.jobs).values({column: database.now() - seconds}))


def assert_messages(backend: Backend, expected: int) -> None:
    """So many messages arrive in the queue, and no more."""
    eventually(lambda: backend.live.waiting_messages("train") == expected)
    time.sleep(0.3)
    assert backend.live.waiting_messages("train") == expected


def test_a_submit_rings_once(backend: Backend, submit: Submit) -> None:
    submit()
    assert_messages(backend, 1)
    assert recovery.sweep(backend).announced == 0


def test_a_wiped_queue_is_filled_again(backend: Backend, submit: Submit, redis_server: str) -> None:
    for _ in range(3):
        submit()
    assert_messages(backend, 3)
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    assert recovery.sweep(backend).announced == 0  # too early: perhaps they are on their way
    backdate(backend, "notified_at", recovery.FIRST_REMINDER_SECONDS + 1)
    assert recovery.sweep(backend).announced == 3
    assert_messages(backend, 3)


def test_a_long_queue_is_not_flooded(backend: Backend, submit: Submit) -> None:
    for _ in range(3):
        submit()
    assert_messages(backend, 3)
    for _ in range(5):
        backdate(backend, "notified_at", 100_000)
        assert recovery.sweep(backend).announced == 0
    assert_messages(backend, 3)


def test_a_lost_worker_is_told_and_its_job_waits_again(backend: Backend, submit: Submit) -> None:
    job = submit()
    expire(backend, claimed(backend))
    assert recovery.sweep(backend).recovered == 1
    assert jobs.get(backend, "ann", job.id).state is JobState.QUEUED
    _, *told = [
        event.data["message"] for event in events.after(backend, job.id) if event.type == "log"
    ]
    assert len(told) == 1
    assert "lost" in told[0]
    assert recovery.sweep(backend).recovered == 0


def test_workers_lost_again_and_again_end_the_job(backend: Backend, submit: Submit) -> None:
    job = submit()
    for _ in range(recovery.MOST_LOST_LEASES):
        backdate(backend, "not_before", 1)
        expire(backend, claimed(backend))
        assert recovery.sweep(backend).recovered == 1
    final = jobs.get(backend, "ann", job.id)
    assert final.state is JobState.FAILED
    assert final.error is not None
    assert final.error["code"] == "workers_lost"


@pytest.mark.parametrize(
    ("ask", "state"), [(jobs.cancel, JobState.CANCELLED), (jobs.pause, JobState.PAUSED)]
)
def test_a_wish_takes_effect_although_the_worker_is_dead(
    backend: Backend, submit: Submit, ask: object, state: JobState
) -> None:
    job = submit()
    dead = claimed(backend)
    assert callable(ask)
    ask(backend, "ann", job.id)
    backdate(backend, "pending_at", 0)
    assert recovery.sweep(backend).answered == 0  # the worker is given its time
    backdate(backend, "pending_at", recovery.ANSWER_SECONDS + 0.1)
    assert recovery.sweep(backend).answered == 1
    assert jobs.get(backend, "ann", job.id).state is state
    with pytest.raises(leases.LeaseLost):
        leases.publish(backend, dead, more())


def test_the_sweep_does_without_redis(backend: Backend, submit: Submit) -> None:
    job = submit()
    expire(backend, claimed(backend))
    unreachable = backend.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    alone = replace(
        backend,
        live=type(backend.live)(unreachable.redis_url),
        doorbell=type(backend.doorbell)(unreachable),
    )
    assert recovery.sweep(alone).recovered == 1
    backdate(backend, "notified_at", 1000)
    assert recovery.sweep(alone).announced == 0
    assert jobs.get(alone, "ann", job.id).state is JobState.QUEUED
