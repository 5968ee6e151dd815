"""The time a training is said to take is what trainings like it took here."""

from dataclasses import replace

import pytest

from lstmcore.estimate import Estimate
from worker import datasets, events, leases, speed, submissions
from worker.backend import Backend
from worker.records import JobState

TEXT = b"the cat sat on the mat\n" * 200
GUESS = Estimate(parameters=1000, memory_bytes=2**28, steps=100, seconds=10.0)


def train(backend: Backend, slowness: float, **training: int) -> speed.Expectation:
    """A training whose steps take so many times what was estimated; what was expected of it."""
    text = datasets.create(backend, "local", name="t", data=TEXT)
    config = {"preset": "char", "training": training}
    job = submissions.submit_train(backend, "local", name=None, dataset=text.id, config=config)
    kept = next(e for e in events.after(backend, job.id) if "estimate" in e.data)
    expectation = speed.Expectation(**kept.data["estimate"])
    claim = leases.claim(backend, "train", "somebody")
    assert claim is not None
    step_seconds = expectation.raw_seconds / expectation.steps
    told = {"from_step": 0, "to_step": 50, "seconds": 50 * step_seconds * slowness, "worker": "w"}
    leases.publish(backend, claim, leases.Publication(state=JobState.SUCCEEDED, slice=told))
    return expectation


def test_a_new_installation_only_guesses(backend: Backend) -> None:
    expected = speed.expect(backend, GUESS)
    assert (expected.seconds, expected.learned_from) == (GUESS.seconds, 0)


def test_the_next_training_is_expected_to_be_as_slow_as_the_last(backend: Backend) -> None:
    first = train(backend, slowness=3.0)
    assert first.learned_from == 0
    assert first.seconds == first.raw_seconds
    second = train(backend, slowness=3.0)
    assert second.learned_from == 1
    assert second.seconds == pytest.approx(3 * second.raw_seconds, rel=0.05)
    assert (second.parameters, second.steps) == (first.parameters, first.steps)


def test_a_training_is_expected_to_be_like_those_with_steps_like_its_own(backend: Backend) -> None:
    for _ in range(speed.MOST_ALIKE):
        train(backend, slowness=2.0, batch_size=1)
        train(backend, slowness=8.0, batch_size=512)
    small, large = (train(backend, slowness=1.0, batch_size=size).seconds for size in (1, 512))
    raw = [train(backend, slowness=1.0, batch_size=size).raw_seconds for size in (1, 512)]
    assert small / raw[0] == pytest.approx(2.0, rel=0.1)
    assert large / raw[1] == pytest.approx(8.0, rel=0.1)


def test_an_estimate_of_nothing_learns_and_teaches_nothing(backend: Backend) -> None:
    train(backend, slowness=5.0)
    assert speed.expect(backend, replace(GUESS, seconds=0.0)).seconds == 0
