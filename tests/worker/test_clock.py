"""Clocks that are wrong: a worker's decides nothing, the database's holds nothing up for long."""

import time

import pytest

from tests.worker.conftest import Submit
from tests.worker.protocol_records import Records
from tests.worker.test_leases import claimed, more
from worker import jobs, leases, recovery
from worker.backend import Backend
from worker.clock import ClockWatch, mend
from worker.records import JobState

HOUR = 3600.0


@pytest.fixture
def records(backend: Backend) -> Records:
    return Records(backend)


def remaining(records: Records, identifier: str, column: str) -> float:
    """Seconds until a time in a record."""
    value = records.rows()[identifier]._asdict()[column]
    return float(value) - records.backend.database.time()


def test_a_clock_that_is_set_back_is_noticed_and_one_that_goes_on_is_not() -> None:
    watch = ClockWatch()
    assert watch.was_set_back(1000.0, 50.0) is None
    assert watch.was_set_back(1001.0, 51.0) is False
    assert watch.was_set_back(1001.5, 52.0) is False  # slewed
    assert watch.was_set_back(5000.0, 53.0) is False  # forward
    assert watch.was_set_back(4998.5, 54.0) is True
    assert watch.was_set_back(4999.5, 55.0) is False


@pytest.mark.parametrize("first_look", [True, False])
def test_a_dead_workers_job_goes_on_after_one_lease(
    backend: Backend, submit: Submit, records: Records, first_look: bool
) -> None:
    job, watch = submit(), ClockWatch()
    claimed(backend)
    if not first_look:
        watch.look(backend)
    records.pass_time(-HOUR)
    assert remaining(records, job.id, "lease_until") > HOUR
    if first_look:
        assert watch.look(backend) == 1
    else:
        mend(backend, 0.0)
    assert remaining(records, job.id, "lease_until") <= backend.settings.lease_seconds
    records.pass_time(backend.settings.lease_seconds + 1)
    assert recovery.sweep(backend).recovered == 1
    claimed(backend)


def test_a_living_worker_notices_nothing(
    backend: Backend, submit: Submit, records: Records
) -> None:
    submit()
    claim = claimed(backend)
    records.pass_time(-HOUR)
    mend(backend, 0.0)
    leases.renew(backend, claim, claim.job.progress, {})
    assert leases.publish(backend, claim, more()).slices == 1


def test_owners_go_on_in_turns(backend: Backend, submit: Submit, records: Records) -> None:
    for owner in ("ann", "bob"):
        submit(owner)
    for _ in range(3):  # ann was served last: without mending bob alone would be, for an hour
        leases.publish(backend, claimed(backend), more())
    records.pass_time(-HOUR)
    mend(backend, 0.0)
    served = []
    for _ in range(6):
        claim = claimed(backend)
        served.append(claim.job.owner)
        leases.publish(backend, claim, more())
    assert served.count("ann") == served.count("bob") == 3


def test_what_waits_and_what_was_asked_does_not_wait_for_the_jump(
    backend: Backend, submit: Submit, records: Records
) -> None:
    waiting, asked = submit(), None
    claim = claimed(backend)
    leases.postpone(backend, claim, leases.StoreError("full"))
    asked = submit("bob")
    claimed(backend)
    jobs.cancel(backend, "bob", asked.id)
    records.pass_time(-HOUR)
    mend(backend, leases.LONGEST_POSTPONEMENT_SECONDS)
    assert remaining(records, waiting.id, "not_before") <= leases.LONGEST_POSTPONEMENT_SECONDS
    assert remaining(records, waiting.id, "notified_at") <= 0
    mend(backend, 0.0)
    assert remaining(records, waiting.id, "not_before") <= 0
    records.pass_time(recovery.ANSWER_SECONDS + 0.1)
    assert recovery.sweep(backend).answered == 1
    assert jobs.get(backend, "bob", asked.id).state is JobState.CANCELLED


def test_nothing_is_mended_where_nothing_is_wrong(
    backend: Backend, submit: Submit, records: Records
) -> None:
    submit()
    leases.postpone(backend, claimed(backend), leases.StoreError("full"))
    submit("bob")
    claimed(backend)
    before = records.rows()
    assert ClockWatch().look(backend) == 0
    assert records.rows() == before


@pytest.mark.parametrize("hours", [-26, 26])
def test_a_workers_wrong_clock_decides_nothing(
    backend: Backend, submit: Submit, records: Records, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    right = time.time
    submit()
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: right() + hours * HOUR)
        claim = claimed(backend)
        leases.renew(backend, claim, claim.job.progress, {})
        left = remaining(records, claim.job.id, "lease_until")
        assert 0 < left <= backend.settings.lease_seconds
    assert recovery.sweep(backend).recovered == 0
    assert leases.publish(backend, claim, more()).slices == 1
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: right() + hours * HOUR)
        claimed(backend)  # at once: nothing waits for another machine's clock
        assert recovery.sweep(backend).recovered == 0
