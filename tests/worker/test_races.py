"""Moves that meet: a wish and a death, a zombie and the end, one message at two workers."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.worker.conftest import LINES, Submit
from tests.worker.test_leases import claimed, expire, more
from worker import datasets, events, jobs, leases, recovery, submissions, tasks
from worker.backend import Backend
from worker.errors import LeaseLost, NotFound
from worker.leases import Publication
from worker.records import JobState, Progress

WISHES = [(jobs.cancel, JobState.CANCELLED), (jobs.pause, JobState.PAUSED)]


@pytest.mark.parametrize(("ask", "state"), WISHES)
def test_a_wish_outlives_the_child_that_should_have_answered_it(
    backend: Backend, submit: Submit, ask: object, state: JobState
) -> None:
    job, claim = submit(), claimed(backend)
    assert callable(ask)
    ask(backend, "ann", job.id)
    given = leases.give_back(backend, claim.owner, "signal 9")
    assert given is not None
    assert (given.state, given.pending) == (state, None)


@pytest.mark.parametrize(("ask", "state"), WISHES)
def test_a_wish_outlives_the_lease(
    backend: Backend, submit: Submit, ask: object, state: JobState
) -> None:
    """Also when the lease ends before the wish is overdue."""
    job, claim = submit(), claimed(backend)
    assert callable(ask)
    ask(backend, "ann", job.id)
    expire(backend, claim)
    assert recovery.sweep(backend).recovered == 1
    assert jobs.get(backend, "ann", job.id).state is state


def test_a_cancel_wins_over_the_third_death(backend: Backend, submit: Submit) -> None:
    job = submit()
    for _ in range(leases.MOST_ATTEMPTS - 1):
        leases.give_back(backend, claimed(backend).owner, "signal 9")
    last = claimed(backend)
    jobs.cancel(backend, "ann", job.id)
    leases.give_back(backend, last.owner, "signal 9")
    assert jobs.get(backend, "ann", job.id).state is JobState.CANCELLED


def test_nothing_is_told_after_the_end(backend: Backend, submit: Submit) -> None:
    job, zombie = submit(), claimed(backend, "zombie")
    expire(backend, zombie)
    recovery.sweep(backend)
    jobs.cancel(backend, "ann", job.id)
    with pytest.raises(LeaseLost):
        leases.record(backend, zombie, [("metrics", {"step": 10}, "metrics:10")])
    assert events.after(backend, job.id)[-1].data["state"] == JobState.CANCELLED


def test_a_zombie_of_a_deleted_job_is_only_fenced_out(backend: Backend, submit: Submit) -> None:
    job, zombie = submit(), claimed(backend, "zombie")
    expire(backend, zombie)
    recovery.sweep(backend)
    jobs.cancel(backend, "ann", job.id)
    jobs.delete(backend, "ann", job.id)
    with pytest.raises(LeaseLost):
        leases.record(backend, zombie, [("metrics", {}, None)])
    with pytest.raises(LeaseLost):
        leases.publish(
            backend,
            zombie,
            Publication(
                JobState.RUNNING,
                Progress(step=1),
                slice={"from_step": 0, "to_step": 1, "seconds": 1.0},
            ),
        )


def test_one_message_at_two_workers_makes_two_holders(backend: Backend, submit: Submit) -> None:
    """The broker may deliver twice; the death of one must not end the lease of the other."""
    submit("ann")
    submit("bob")
    names = [
        tasks._holder(SimpleNamespace(id="message", hostname=f"train-{n}@host")) for n in (1, 2)
    ]
    first, second = (claimed(backend, name) for name in names)
    given = leases.give_back(backend, first.owner, "signal 9")
    assert given is not None
    assert given.id == first.job.id
    assert leases.publish(backend, second, more()).slices == 1


def test_positions_foresee_that_owners_take_turns(backend: Backend, submit: Submit) -> None:
    made = [submit(owner) for owner in ("ann", "ann", "ann", "bob", "bob")]
    shown = {
        job.id: job.queue_position
        for owner in ("ann", "bob")
        for job in jobs.list_page(backend, owner).data
    }
    assert [shown[job.id] for job in made] == [1, 3, 5, 2, 4]
    served = [claimed(backend, f"w{n}").job.id for n in range(5)]
    assert served == sorted(shown, key=lambda identifier: shown[identifier] or 0)


def test_a_text_removed_while_its_job_is_accepted_is_not_found(
    backend: Backend, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = datasets.create(backend, "ann", name="t", data=LINES.encode())
    known = submissions.resolve_config

    def resolve_while_it_is_removed(*arguments: Any) -> Any:
        datasets.delete(backend, "ann", text.id)
        return known(*arguments)

    monkeypatch.setattr(submissions, "resolve_config", resolve_while_it_is_removed)
    with pytest.raises(NotFound):
        submissions.submit_train(
            backend, "ann", name="t", dataset=text.id, config={"preset": "word"}
        )
    assert jobs.list_page(backend, "ann").data == []
