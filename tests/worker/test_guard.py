"""Workers that hear nothing any more, and a service whose sweeper is gone."""

import time
from dataclasses import replace

import pytest
import redis

from tests.processes import eventually
from tests.worker.conftest import Submit
from tests.worker.test_leases import claimed, expire
from tests.worker.test_recovery import backdate
from worker import guard, jobs, recovery
from worker.backend import Backend
from worker.guard import Ear, stand_in
from worker.live import Live
from worker.records import JobState

PATIENCE = 1.0


def ear(backend: Backend, *, working: bool = False) -> Ear:
    return Ear(backend, "train", lambda: working, PATIENCE)


def test_a_worker_that_takes_no_messages_is_deaf(backend: Backend) -> None:
    backend.doorbell.ring("train")
    listener = ear(backend)
    assert not listener.is_deaf()
    eventually(listener.is_deaf)
    listener.heard()
    assert not listener.is_deaf()


@pytest.mark.parametrize("messages", [0, 1])
def test_who_works_or_has_nothing_to_hear_is_not_deaf(backend: Backend, messages: int) -> None:
    listener = ear(backend, working=bool(messages))
    for _ in range(messages):
        backend.doorbell.ring("train")
    for _ in range(4):
        assert not listener.is_deaf()
        time.sleep(PATIENCE / 2)


def test_who_cannot_ask_is_not_deaf(backend: Backend) -> None:
    listener = ear(replace(backend, live=Live("redis://127.0.0.1:1")))
    backend.doorbell.ring("train")
    time.sleep(1.1 * PATIENCE)
    assert not listener.is_deaf()


def test_nobody_stands_in_for_a_sweeper_that_lives(backend: Backend, submit: Submit) -> None:
    assert not stand_in(backend)
    job = submit()
    expire(backend, claimed(backend))  # a moment ago
    assert not stand_in(backend)
    assert jobs.get(backend, "ann", job.id).state is JobState.RUNNING


def test_a_worker_recovers_what_a_dead_sweeper_would_have(backend: Backend, submit: Submit) -> None:
    job = submit()
    claimed(backend)
    backdate(backend, "lease_until", guard.LATE_SECONDS + 1)
    assert stand_in(backend)
    assert jobs.get(backend, "ann", job.id).state is JobState.QUEUED
    backdate(backend, "notified_at", recovery.FIRST_REMINDER_SECONDS + guard.LATE_SECONDS + 1)
    with redis.Redis.from_url(backend.settings.effective_redis_url) as server:
        server.flushall()
    assert stand_in(backend)
    assert backend.live.waiting_messages("train") == 1
    claimed(backend)
    jobs.cancel(backend, "ann", job.id)
    backdate(backend, "pending_at", guard.LATE_SECONDS + 1)
    assert stand_in(backend)
    assert jobs.get(backend, "ann", job.id).state is JobState.CANCELLED
