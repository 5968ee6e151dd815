"""Quotas of an owner: stored bytes and minutes of training, on either kind of database."""

import pytest
import sqlalchemy as sa

from tests.worker.conftest import LINES, Submit
from tests.worker.test_leases import claimed
from worker import database, datasets, events, jobs, leases, quotas, submissions
from worker.backend import Backend
from worker.errors import QuotaExceeded
from worker.records import JobState, Progress

MINUTE = {"worker": "w", "from_step": 0, "to_step": 1, "seconds": 60.0}


def with_settings(backend: Backend, **changes: object) -> Backend:
    object.__setattr__(backend, "settings", backend.settings.model_copy(update=changes))
    return backend


def run_slice(backend: Backend) -> JobState:
    claim = claimed(backend)
    published = leases.publish(
        backend, claim, leases.Publication(JobState.RUNNING, Progress(step=1), slice=MINUTE)
    )
    return published.state


def test_what_is_stored_is_counted_until_it_is_deleted(backend: Backend) -> None:
    size = len(LINES.encode())
    full = with_settings(backend, max_stored_bytes=2 * size + size // 2)
    kept = [datasets.create(full, "ann", name="a", data=LINES.encode()) for _ in range(2)]
    with full.database.reading() as connection:
        stored = quotas.stored_bytes(connection, "ann")
        assert stored == sum(dataset.file.bytes for dataset in kept)
        assert quotas.stored_bytes(connection, "bob") == 0
    with pytest.raises(QuotaExceeded, match="delete"):
        datasets.create(full, "ann", name="a", data=LINES.encode())
    datasets.create(full, "bob", name="a", data=LINES.encode())
    datasets.delete(full, "ann", kept[0].id)
    datasets.create(full, "ann", name="a", data=LINES.encode())
    unlimited = with_settings(full, max_stored_bytes=0)
    datasets.create(unlimited, "ann", name="a", data=LINES.encode())


def test_checkpoints_count_and_a_full_owner_trains_nothing_more(
    backend: Backend, submit: Submit
) -> None:
    job = submit()
    file = {"key": "k", "sha256": "0" * 64, "bytes": 10**6}
    with backend.database.writing() as connection:
        connection.execute(
            sa.update(database.jobs).values(checkpoint=file, previous_checkpoint=file)
        )
    with backend.database.reading() as connection:
        assert quotas.stored_bytes(connection, "ann") >= 2 * 10**6
    full = with_settings(backend, max_stored_bytes=10**6)
    with pytest.raises(QuotaExceeded):
        submissions.submit_train(
            full, "ann", name=None, dataset=job.dataset or "", config={"preset": "tutorial"}
        )


def test_the_minutes_of_a_day_pause_what_runs_and_refuse_what_comes(
    backend: Backend, submit: Submit
) -> None:
    limited = with_settings(backend, max_training_minutes=2.0)
    job = submit()
    assert run_slice(limited) is JobState.RUNNING
    assert run_slice(limited) is JobState.PAUSED
    told = [event.data.get("message", "") for event in events.after(limited, job.id)]
    assert any("used up" in message for message in told)
    for attempt in (submit, lambda: jobs.resume(limited, "ann", job.id)):
        with pytest.raises(QuotaExceeded, match="midnight") as caught:
            attempt()
        assert 1 <= caught.value.retry_after_seconds <= 86_400
    assert submit("bob").owner == "bob"  # everybody has minutes of their own
    # another day
    with limited.database.writing() as connection:
        connection.execute(sa.update(database.usage).values(day=database.usage.c.day - 1))
    assert jobs.resume(limited, "ann", job.id).state is JobState.QUEUED


def test_minutes_are_counted_once_for_each_published_slice(
    backend: Backend, submit: Submit
) -> None:
    submit()
    claim = claimed(backend)
    done = leases.Publication(JobState.RUNNING, Progress(step=1), slice=MINUTE)
    leases.publish(backend, claim, done)
    with pytest.raises(leases.LeaseLost):
        leases.publish(backend, claim, done)
    with backend.database.reading() as connection:
        assert quotas.trained_today(connection, "ann") == 60.0
