"""The remaining time: of the training, and of the waiting in between."""

import pytest

from tests.worker.conftest import Submit
from tests.worker.test_leases import claimed, more
from worker import leases, scheduling
from worker.backend import Backend
from worker.meter import Pace


def test_a_job_alone_takes_the_time_of_its_steps() -> None:
    assert Pace(20.0).eta(100.0, into_slice=5.0) == 100.0


def test_a_job_that_shares_the_worker_waits_after_every_slice() -> None:
    pace = Pace(slice_seconds=20.0, pause_seconds=40.0)
    assert pace.eta(15.0, into_slice=5.0) == 15.0  # it ends with this slice
    assert pace.eta(35.0, into_slice=5.0) == 75.0
    assert pace.eta(315.0, into_slice=5.0) == 315.0 + 15 * 40.0


def test_the_first_steps_of_a_slice_say_little() -> None:
    assert Pace(20.0).seconds_a_step(0.0, 0) is None
    fresh, known = Pace(20.0), Pace(20.0, a_step_before=0.1)
    assert fresh.seconds_a_step(1.0, 1) == 1.0
    first = known.seconds_a_step(1.0, 1)
    assert first == pytest.approx(3.0 / 21)
    assert known.seconds_a_step(1000.0, 1000) == pytest.approx(1.0, rel=0.02)


def test_a_turn_is_the_owners_times_the_jobs_of_one(backend: Backend, submit: Submit) -> None:
    for owner in ("ann", "ann", "bob", "cat"):
        submit(owner)
    claim = claimed(backend)
    assert claim.job.owner == "ann"
    with backend.database.reading() as connection:
        turns = {
            owner: scheduling.slices_a_turn(connection, "train", owner)
            for owner in ("ann", "bob", "cat")
        }
    assert turns == {"ann": 6, "bob": 3, "cat": 3}
    served = [claim.job.id]
    leases.publish(backend, claim, more())
    for _ in range(12):
        claim = claimed(backend)
        served.append(claim.job.id)
        leases.publish(backend, claim, more())
    again = served.index(served[0], 1)
    assert again == turns["ann"]
