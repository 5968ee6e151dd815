"""The protocol of claims, leases and publications: invariants against the real database."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.worker.conftest import Submit
from worker import events, jobs, leases, models, recovery
from worker.backend import Backend
from worker.errors import LeaseLost
from worker.keeping import LeaseKeeper
from worker.leases import Claim, Publication
from worker.records import JobState, Progress, StoredFile

CANDIDATE = {
    "step": 5,
    "metrics": {"train_loss": 1.0},
    "files": {"model.safetensors": {"key": "models/x", "sha256": "0" * 64, "bytes": 1}},
}


def more(step: int = 1) -> Publication:
    """A slice after which there is more to do."""
    return Publication(state=JobState.RUNNING, progress=Progress(step=step, total_steps=10))


def claimed(backend: Backend, holder: str = "holder") -> Claim:
    time.sleep(0.002)  # SQLite's clock counts milliseconds: two claims in one would be a draw
    claim = leases.claim(backend, "train", holder)
    assert claim is not None
    return claim


def expire(backend: Backend, claim: Claim) -> None:
    """Let a lease run out: renewed for no time at all."""
    short = backend.settings.model_copy(update={"lease_seconds": 0.001})
    leases.renew(replace(backend, settings=short), claim, Progress(), {})
    time.sleep(0.01)


def test_a_job_has_one_holder(backend: Backend, submit: Submit) -> None:
    submit()
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: leases.claim(backend, "train", f"w{n}"), range(8)))
    assert sum(claim is not None for claim in claims) == 1


def test_nothing_to_claim_is_no_error(backend: Backend) -> None:
    assert leases.claim(backend, "train", "w") is None


def test_a_slice_counts_and_frees_the_job_for_the_next(backend: Backend, submit: Submit) -> None:
    job = submit()
    for number in range(1, 4):
        published = leases.publish(backend, claimed(backend), more(number))
        assert (published.state, published.slices) == (JobState.RUNNING, number)
        assert published.progress.step == number
    told = [
        event.data["number"] for event in events.after(backend, job.id) if event.type == "slice"
    ]
    assert told == []  # these publications had nothing to tell


def test_a_holder_that_was_given_up_publishes_nothing(backend: Backend, submit: Submit) -> None:
    job = submit()
    zombie = claimed(backend, "zombie")
    expire(backend, zombie)
    assert recovery.sweep(backend).recovered == 1
    heir = claimed(backend, "heir")
    assert heir.epoch > zombie.epoch
    with pytest.raises(LeaseLost):
        leases.publish(backend, zombie, more(9))
    with pytest.raises(LeaseLost):
        leases.renew(backend, zombie, Progress(step=9), {})
    with pytest.raises(LeaseLost):
        leases.wanted(backend, zombie)
    assert leases.publish(backend, heir, more(1)).progress.step == 1
    with pytest.raises(LeaseLost):  # the same slice a second time
        leases.publish(backend, heir, more(2))
    assert jobs.get(backend, "ann", job.id).slices == 1


def test_a_lease_that_is_renewed_is_not_taken(backend: Backend, submit: Submit) -> None:
    submit()
    claim = claimed(backend)
    assert leases.renew(backend, claim, Progress(step=3), {"train_loss": 2.0}) is None
    assert recovery.sweep(backend).recovered == 0
    assert jobs.get(backend, "ann", claim.job.id).progress.step == 3


def test_final_states_never_change(backend: Backend, submit: Submit) -> None:
    job = submit()
    claim = claimed(backend)
    done = leases.publish(backend, claim, Publication(state=JobState.SUCCEEDED, stopped="finished"))
    assert done.state is JobState.SUCCEEDED
    assert leases.claim(backend, "train", "late") is None
    assert leases.give_back(backend, claim.owner, "late") is None
    with pytest.raises(LeaseLost):
        leases.publish(backend, claim, Publication(state=JobState.FAILED))
    assert jobs.get(backend, "ann", job.id).state is JobState.SUCCEEDED


def test_the_model_appears_with_the_end_and_takes_a_free_name(
    backend: Backend, submit: Submit
) -> None:
    names = []
    for _ in range(2):
        job = submit(name="facts")
        end = Publication(
            state=JobState.SUCCEEDED,
            candidate=CANDIDATE,
            checkpoint=StoredFile("checkpoints/1", "0" * 64, 1),
            stopped="early",
        )
        done = leases.publish(backend, claimed(backend), end)
        assert done.result is not None
        assert done.result["stopped"] == "early"
        assert done.result["checkpoint"] == "checkpoints/1"
        model = models.get(backend, "ann", done.result["model"])
        assert model.job == job.id
        names.append(model.name)
    assert names == ["facts", "facts 2"]


def test_a_finish_wins_over_a_cancel_that_came_too_late(backend: Backend, submit: Submit) -> None:
    job = submit()
    claim = claimed(backend)
    assert jobs.cancel(backend, "ann", job.id).pending == "cancel"
    done = leases.publish(backend, claim, Publication(state=JobState.SUCCEEDED, stopped="finished"))
    assert (done.state, done.pending) == (JobState.SUCCEEDED, None)


def test_a_cancel_takes_effect_with_the_slice_and_keeps_the_model(
    backend: Backend, submit: Submit
) -> None:
    job = submit()
    claim = claimed(backend)
    jobs.cancel(backend, "ann", job.id)
    assert leases.wanted(backend, claim) == "cancel"
    done = leases.publish(backend, claim, replace(more(3), candidate=CANDIDATE))
    assert done.state is JobState.CANCELLED
    assert done.result is not None
    assert done.result["stopped"] == "cancelled"
    assert models.get(backend, "ann", done.result["model"]).files


def test_a_pause_takes_effect_with_the_slice_and_resume_goes_on(
    backend: Backend, submit: Submit
) -> None:
    job = submit()
    claim = claimed(backend)
    jobs.pause(backend, "ann", job.id)
    assert leases.publish(backend, claim, more(3)).state is JobState.PAUSED
    assert leases.claim(backend, "train", "w") is None
    assert jobs.resume(backend, "ann", job.id).state is JobState.QUEUED
    assert claimed(backend).job.progress.step == 3


def test_poison_fails_after_three_deaths_at_one_slice(backend: Backend, submit: Submit) -> None:
    job = submit()
    for death in range(leases.MOST_ATTEMPTS):
        given = leases.give_back(backend, claimed(backend, f"w{death}").owner, "signal 9")
        assert given is not None
    final = jobs.get(backend, "ann", job.id)
    assert final.state is JobState.FAILED
    assert final.error == {"code": "failed_repeatedly", "message": "signal 9"}


def test_progress_between_deaths_starts_the_count_again(backend: Backend, submit: Submit) -> None:
    job = submit()
    for step in range(1, 4):
        for _ in range(leases.MOST_ATTEMPTS - 1):
            leases.give_back(backend, claimed(backend).owner, "signal 11")
        leases.publish(backend, claimed(backend), more(step))
    assert jobs.get(backend, "ann", job.id).state is JobState.RUNNING


def test_repeated_events_are_told_once(backend: Backend, submit: Submit) -> None:
    job = submit()
    claim = claimed(backend)
    for _ in range(2):
        leases.record(backend, claim, [("metrics", {"step": 10}, "metrics:10")])
    told = [event for event in events.after(backend, job.id) if event.type == "metrics"]
    assert len(told) == 1
    ids = [event.id for event in events.after(backend, job.id)]
    assert ids == sorted(ids)


def test_every_change_of_a_record_raises_its_version(backend: Backend, submit: Submit) -> None:
    job = submit()
    versions = [job.version]
    claim = claimed(backend)
    versions.append(jobs.get(backend, "ann", job.id).version)
    leases.renew(backend, claim, Progress(step=1), {})
    versions.append(jobs.get(backend, "ann", job.id).version)
    leases.publish(backend, claim, more(2))
    versions.append(jobs.get(backend, "ann", job.id).version)
    assert versions == sorted(set(versions))


def test_shown_progress_is_not_taken_back(backend: Backend, submit: Submit) -> None:
    """What a lost holder had shown stays until its heir is further; the end says the truth."""
    submit()
    lost = claimed(backend)
    leases.renew(backend, lost, Progress(step=70, total_steps=100, epoch=7), {})
    leases.give_back(backend, lost.owner, "signal 9")
    heir = claimed(backend)
    with LeaseKeeper(backend, heir, "worker") as keeper:
        keeper.report(Progress(step=10, total_steps=100, eta_seconds=9.0), {})
        assert keeper.progress == Progress(step=70, total_steps=100, epoch=7, eta_seconds=9.0)
    shorter = Publication(JobState.RUNNING, Progress(step=50, total_steps=100))
    assert leases.publish(backend, heir, shorter).progress.step == 70
    last = Publication(JobState.SUCCEEDED, Progress(step=60, total_steps=100))
    assert leases.publish(backend, claimed(backend), last).progress.step == 60
