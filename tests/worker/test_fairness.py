"""Whose turn it is: owners share equally, jobs take turns, the shown position is the real one."""

from tests.worker.conftest import Submit
from tests.worker.test_leases import claimed, more
from worker import jobs, leases
from worker.backend import Backend
from worker.records import JobState


def test_jobs_of_one_owner_take_turns(backend: Backend, submit: Submit) -> None:
    ids = [submit().id for _ in range(3)]
    served = []
    for _ in range(6):
        claim = claimed(backend)
        served.append(claim.job.id)
        leases.publish(backend, claim, more())
    assert served == ids * 2


def test_an_owner_with_many_jobs_gets_no_more_than_one_with_one(
    backend: Backend, submit: Submit
) -> None:
    for _ in range(5):
        submit("ann")
    submit("bob")
    served = []
    for _ in range(8):
        claim = claimed(backend)
        served.append(claim.job.owner)
        leases.publish(backend, claim, more())
    assert served.count("bob") == 4


def test_a_short_job_waits_one_slice_behind_a_long_one(backend: Backend, submit: Submit) -> None:
    long_job = submit()
    leases.publish(backend, claimed(backend), more())
    running = claimed(backend)
    short_job = submit()
    leases.publish(backend, running, more())
    assert claimed(backend).job.id == short_job.id
    assert long_job.id == running.job.id


def test_the_position_shown_is_the_order_of_claims(backend: Backend, submit: Submit) -> None:
    for owner in ("ann", "ann", "bob", "ann", "cat"):
        submit(owner)
    shown = {}
    for owner in ("ann", "bob", "cat"):
        for job in jobs.list_page(backend, owner).data:
            shown[job.queue_position] = job.id
            assert jobs.get(backend, owner, job.id).queue_position == job.queue_position
    assert sorted(shown) == [1, 2, 3, 4, 5]
    claim = claimed(backend)
    assert claim.job.id == shown[1]
    assert jobs.get(backend, claim.job.owner, claim.job.id).queue_position is None


def test_paused_jobs_have_no_position(backend: Backend, submit: Submit) -> None:
    job = submit()
    assert job.queue_position == 1
    paused = jobs.pause(backend, "ann", job.id)
    assert (paused.state, paused.queue_position) == (JobState.PAUSED, None)
