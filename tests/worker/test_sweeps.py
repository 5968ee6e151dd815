"""Sweeps: trials become jobs once, losers stop at their rung, the best is named."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.worker.conftest import LINES
from worker import datasets, events, halving, jobs, leases, models, sweeps
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, QuotaExceeded, WrongState
from worker.records import JobState, Progress, Sweep

RATES = [0.001 * number for number in range(1, 10)]
SPACE = {"training.learning_rate": RATES}
STEPS = 90


@pytest.fixture
def start(backend: Backend) -> Callable[..., Sweep]:
    """Starts a sweep of nine trials with rungs after a ninth and a third."""

    def begin(**changes: Any) -> Sweep:
        text = datasets.create(backend, "ann", name="lesson", data=LINES.encode())
        asked = {"config": {"preset": "tutorial"}, "space": SPACE, "name": "rates"} | changes
        return sweeps.create(backend, "ann", dataset=text.id, **asked)

    return begin


def loss_of(settings: dict[str, Any]) -> float:
    """The trial with the rate of 0.004 learns best."""
    return 1.0 + abs(settings["training.learning_rate"] - 0.004) * 100


def train_a_slice(backend: Backend, steps: int = 5) -> str | None:
    """What a worker does, without training: the loss follows from the settings alone."""
    claim = leases.claim(backend, "train", "w")
    if claim is None:
        return None
    job = claim.job
    step = min(job.progress.step + steps, STEPS)
    rate = job.config["training"]["learning_rate"]
    loss = loss_of({"training.learning_rate": rate}) + 1.0 / step
    metrics = {"train_loss": loss, "validation_loss": loss, "validation_perplexity": 1.0}
    leases.record(backend, claim, [("metrics", {"step": step} | metrics, f"metrics:{step}")])
    file = backend.store.put(f"models/{job.id}/{step}-{claim.epoch}", b"x")
    files = {"model.safetensors": {"key": file.key, "sha256": file.sha256, "bytes": file.bytes}}
    done = step == STEPS
    leases.publish(
        backend,
        claim,
        leases.Publication(
            state=JobState.SUCCEEDED if done else JobState.RUNNING,
            progress=Progress(step=step, total_steps=STEPS),
            metrics=metrics,
            candidate={"step": step, "metrics": metrics, "files": files},
            stopped="finished" if done else None,
        ),
    )
    return job.id


def run(backend: Backend, sweep: Sweep, steps: int = 5) -> Sweep:
    """Workers and the sweep of lost work take turns until the sweep has ended."""
    for _ in range(500):
        train_a_slice(backend, steps)
        halving.advance(backend)
        sweep = sweeps.get(backend, "ann", sweep.id)
        if sweep.state.final:
            return sweep
    raise AssertionError("the sweep did not end")


def test_every_trial_is_a_job_and_only_once(backend: Backend, start: Callable[..., Sweep]) -> None:
    sweep = start()
    for _ in range(3):
        halving.advance(backend)
    again = sweeps.get(backend, "ann", sweep.id)
    assert [trial.settings["training.learning_rate"] for trial in again.trials] == RATES
    tried = [trial.job.config["training"]["learning_rate"] for trial in again.trials if trial.job]
    assert tried == RATES
    assert len(jobs.list_page(backend, "ann", limit=100).data) == len(RATES)


@pytest.mark.parametrize("steps", [5, 13, STEPS])
def test_the_best_wins_and_losers_stop_early_wherever_slices_end(
    backend: Backend, start: Callable[..., Sweep], steps: int
) -> None:
    sweep = run(backend, start(), steps)
    assert sweep.state is JobState.SUCCEEDED
    assert sweep.best is not None
    assert sweep.trials[sweep.best["trial"]].settings == {"training.learning_rate": RATES[3]}
    assert models.get(backend, "ann", sweep.best["model"]).job == sweep.best["job"]
    if steps == STEPS:
        return  # each was finished before anybody could be stopped
    done = [trial.job.progress.step for trial in sweep.trials if trial.job]
    assert sorted(len(trial.scores) for trial in sweep.trials) == [1] * 6 + [2] * 3
    assert sum(step == STEPS for step in done) == 1
    assert max(sorted(done)[:6]) < STEPS / 3
    losers = [
        trial.job
        for trial in sweep.trials
        if trial.job and trial.job.state is not JobState.SUCCEEDED
    ]
    for job in losers:
        assert job.state is JobState.CANCELLED
        assert job.result is not None
        assert job.result["stopped"] == "sweep"
        said = [event.data.get("message", "") for event in events.after(backend, job.id)]
        assert any("stopped by its sweep" in message for message in said)


def test_without_halving_every_trial_is_trained_to_its_end(
    backend: Backend, start: Callable[..., Sweep]
) -> None:
    sweep = run(backend, start(halving_factor=None), 45)
    assert all(trial.job and trial.job.progress.step == STEPS for trial in sweep.trials)
    assert sweep.rungs == []


def test_cancel_stops_every_trial_and_delete_leaves_the_jobs(
    backend: Backend, start: Callable[..., Sweep]
) -> None:
    sweep = start()
    train_a_slice(backend)
    with pytest.raises(WrongState):
        sweeps.delete(backend, "ann", sweep.id)
    cancelled = sweeps.cancel(backend, "ann", sweep.id)
    assert cancelled.state is JobState.CANCELLED
    assert {trial.job.state for trial in cancelled.trials if trial.job} == {JobState.CANCELLED}
    assert halving.advance(backend) == 0
    with pytest.raises(WrongState):
        sweeps.cancel(backend, "ann", sweep.id)
    sweeps.delete(backend, "ann", sweep.id)
    with pytest.raises(NotFound):
        sweeps.get(backend, "ann", sweep.id)
    assert len(jobs.list_page(backend, "ann", limit=100).data) == len(RATES)


def test_a_crash_between_record_and_jobs_loses_no_trial(
    backend: Backend, start: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = halving._submit, []

    def dies_after_four(*arguments: Any) -> None:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(arguments)
        real(*arguments)

    monkeypatch.setattr(halving, "_submit", dies_after_four)
    with pytest.raises(KeyboardInterrupt):
        start()
    monkeypatch.undo()
    halving.advance(backend)
    [sweep] = sweeps.list_page(backend, "ann").data
    assert all(trial.job for trial in sweeps.get(backend, "ann", sweep.id).trials)
    assert len(jobs.list_page(backend, "ann", limit=100).data) == len(RATES)


def test_a_failed_trial_holds_nobody_up(backend: Backend, start: Callable[..., Sweep]) -> None:
    sweep = start()
    failed = None
    while failed is None:  # every trial's child dies in turn, until one has died too often
        claim = leases.claim(backend, "train", "w")
        assert claim is not None
        given_back = leases.give_back(backend, claim.owner, "it died")
        assert given_back is not None
        failed = given_back if given_back.state is JobState.FAILED else None
    ended = run(backend, sweep)
    assert ended.state is JobState.SUCCEEDED
    assert [trial.job.id for trial in ended.trials if trial.job and not trial.scores] == [failed.id]


def test_a_trial_that_its_owner_deleted_is_not_made_again(
    backend: Backend, start: Callable[..., Sweep]
) -> None:
    sweep = start()
    job = sweep.trials[0].job
    assert job is not None
    jobs.cancel(backend, "ann", job.id)
    jobs.delete(backend, "ann", job.id)
    ended = run(backend, sweep)
    assert ended.state is JobState.SUCCEEDED
    assert ended.trials[0].job is None


def test_a_sweep_counts_as_one_job_of_its_owner(
    backend: Backend, start: Callable[..., Sweep]
) -> None:
    for _ in range(backend.settings.max_active_jobs):
        start(space={"training.learning_rate": [0.01]})
    with pytest.raises(QuotaExceeded):
        start()


def test_what_a_trial_could_not_train_is_refused_before_any_is_made(
    backend: Backend, start: Callable[..., Sweep]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        start(space={"model.hidden_dim": [20, -1]})
    assert caught.value.errors[0]["loc"] == ["space", "model.hidden_dim"]
    with pytest.raises(InvalidInput) as caught:
        start(space={"model.colour": ["red"]})
    assert "colour" in str(caught.value.errors[0])
    with pytest.raises(InvalidInput, match="halving_factor"):
        start(halving_factor=1)
    assert jobs.list_page(backend, "ann").data == []
    assert sweeps.list_page(backend, "ann").data == []


def test_the_same_key_is_the_same_sweep(backend: Backend, start: Callable[..., Sweep]) -> None:
    first = start(idempotency_key="k")
    assert start(idempotency_key="k").id == first.id
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        start(idempotency_key="k", seed=1)


def test_rungs_leave_about_one_trial() -> None:
    assert sweeps.rungs(9, 3) == [pytest.approx(1 / 9, abs=1e-5), pytest.approx(1 / 3, abs=1e-5)]
    assert sweeps.rungs(2, 3) == []
    assert sweeps.rungs(8, 2) == [0.125, 0.25, 0.5]
    assert sweeps.rungs(64, None) == []
