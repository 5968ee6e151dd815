"""Whose turn it is: owners share equally, jobs take turns, the shown position is the real one."""

from tests.worker.conftest import Submit
from tests.worker.protocol_records import Records
from tests.worker.test_leases import claimed, more
from worker import jobs, leases, recovery, scheduling
from worker.backend import Backend
from worker.leases import Publication
from worker.records import JobState, Priority


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


def test_a_higher_priority_is_served_first_and_a_lower_one_last(
    backend: Backend, submit: Submit
) -> None:
    low = submit("ann", priority=Priority.LOW)
    normal = submit("bob")
    high = submit("cat", priority=Priority.HIGH)
    places = {job.id: jobs.get(backend, job.owner, job.id).queue_position for job in (low, normal)}
    assert places == {low.id: 3, normal.id: 2}
    served = []
    for _ in range(4):
        claim = claimed(backend)
        served.append(claim.job.id)
        state = JobState.SUCCEEDED if len(served) > 1 else JobState.RUNNING
        leases.publish(backend, claim, Publication(state=state))
    assert served == [high.id, high.id, normal.id, low.id]


def test_nobody_starves_behind_higher_priorities(backend: Backend, submit: Submit) -> None:
    """However many of them come: after two ageings a low one stands beside the high ones."""
    low = submit("ann", priority=Priority.LOW)
    records = Records(backend)
    served = []
    for minute in range(30):
        submit(f"owner {minute}", priority=Priority.HIGH)
        records.pass_time(60)
        recovery.sweep(backend)
        claim = claimed(backend)
        served.append(claim.job.id)
        leases.publish(backend, claim, more())
    turn = served.index(low.id)
    assert 2 * scheduling.AGEING_SECONDS / 60 - 1 <= turn <= 2 * scheduling.AGEING_SECONDS / 60 + 2
    # Served once, it is low again.
    assert served.count(low.id) == 1


def test_who_is_new_comes_before_those_who_were_served(backend: Backend, submit: Submit) -> None:
    for owner in ("ann", "bob"):
        submit(owner)
        leases.publish(backend, claimed(backend), more())
    new = submit("cat")
    assert jobs.get(backend, "cat", new.id).queue_position == 1
    assert claimed(backend).job.id == new.id
