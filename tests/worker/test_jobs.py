"""The owner's side: submit, look, cancel, pause, resume, delete."""

import time
from dataclasses import replace

import pytest

from lstmcore.errors import ConfigError
from tests.worker.conftest import LINES, Submit
from tests.worker.publishing import one_slice
from tests.worker.test_leases import claimed
from worker import datasets, jobs, models, submissions
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, QuotaExceeded, WrongState
from worker.records import Job, JobState


def test_a_submitted_job_is_queued_with_a_complete_configuration(submit: Submit) -> None:
    job = submit()
    assert (job.state, job.slices, job.queue_position) == (JobState.QUEUED, 0, 1)
    assert job.config["model"]["hidden_dim"] == 20
    assert job.config["training"]["epochs"] == 100


def test_a_refused_configuration_leaves_no_job(backend: Backend) -> None:
    text = datasets.create(backend, "ann", name="t", data=LINES.encode())
    with pytest.raises(ConfigError):
        submissions.submit_train(backend, "ann", name=None, dataset=text.id, config={"modell": {}})
    assert jobs.list_page(backend, "ann").data == []


def test_what_cannot_fit_is_refused_with_numbers(backend: Backend) -> None:
    text = datasets.create(backend, "ann", name="t", data=LINES.encode())
    config = {"preset": "word", "model": {"hidden_dim": 4096, "embed_dim": 4096, "layers": 8}}
    with pytest.raises(InvalidInput, match="MiB"):
        submissions.submit_train(backend, "ann", name=None, dataset=text.id, config=config)


def test_the_same_idempotency_key_is_the_same_job(backend: Backend) -> None:
    text = datasets.create(backend, "ann", name="t", data=LINES.encode())

    def submit(name: str) -> str:
        config = {"preset": "tutorial"}
        return submissions.submit_train(
            backend, "ann", name=name, dataset=text.id, config=config, idempotency_key="k"
        ).id

    assert submit("one") == submit("one")
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        submit("two")
    assert len(jobs.list_page(backend, "ann").data) == 1


def test_a_request_is_known_again_after_its_text_was_deleted(backend: Backend) -> None:
    text = datasets.create(backend, "ann", name="text", data=LINES.encode())

    def ask(name: str) -> Job:
        return submissions.submit_train(
            backend,
            "ann",
            name=name,
            dataset=text.id,
            config={"preset": "tutorial"},
            idempotency_key="k",
        )

    first = ask("first")
    jobs.cancel(backend, "ann", first.id)
    datasets.delete(backend, "ann", text.id)
    assert ask("first").id == first.id
    with pytest.raises(NotFound):
        ask("another")


def test_a_prediction_is_known_again_after_its_model_was_deleted(
    backend: Backend, submit: Submit
) -> None:
    submit()
    one_slice(backend, last=True)
    (model,) = models.list_page(backend, "ann").data

    def ask(prompt: str) -> Job:
        return submissions.submit_predict(
            backend,
            "ann",
            name=None,
            model=model.id,
            prompts=[prompt],
            sampling={},
            idempotency_key="k",
        )

    first = ask("a")
    jobs.cancel(backend, "ann", first.id)
    models.delete(backend, "ann", model.id)
    assert ask("a").id == first.id
    with pytest.raises(NotFound):
        ask("b")


def test_owners_do_not_see_each_other(backend: Backend, submit: Submit) -> None:
    job = submit("ann")
    for ask in (jobs.get, jobs.cancel, jobs.pause, jobs.resume, jobs.delete):
        with pytest.raises(NotFound):
            ask(backend, "bob", job.id)
    assert jobs.list_page(backend, "bob").data == []
    with pytest.raises(NotFound):
        submissions.submit_train(
            backend, "bob", name=None, dataset=str(job.dataset), config={"preset": "tutorial"}
        )


def test_too_many_active_jobs_are_refused(backend: Backend, submit: Submit) -> None:
    small = backend.settings.model_copy(update={"max_active_jobs": 1})
    job = submit()
    with pytest.raises(QuotaExceeded):
        submissions.submit_train(
            replace(backend, settings=small),
            "ann",
            name=None,
            dataset=str(job.dataset),
            config={"preset": "tutorial"},
        )


def test_moves_that_the_state_does_not_allow(backend: Backend, submit: Submit) -> None:
    job = submit()
    with pytest.raises(WrongState):
        jobs.resume(backend, "ann", job.id)
    with pytest.raises(WrongState):
        jobs.delete(backend, "ann", job.id)
    assert jobs.cancel(backend, "ann", job.id).state is JobState.CANCELLED
    for move in (jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(WrongState) as caught:
            move(backend, "ann", job.id)
        assert caught.value.state == "cancelled"
    jobs.delete(backend, "ann", job.id)
    with pytest.raises(NotFound):
        jobs.get(backend, "ann", job.id)


def test_a_pause_not_yet_in_effect_can_be_withdrawn(backend: Backend, submit: Submit) -> None:
    job = submit()
    claimed(backend)
    assert jobs.pause(backend, "ann", job.id).pending == "pause"
    assert jobs.resume(backend, "ann", job.id).pending is None


def test_pages_cover_everything_once(backend: Backend, submit: Submit) -> None:
    made = [submit(name=f"job {n}").id for n in range(5)]
    seen: list[str] = []
    after = None
    while True:
        page = jobs.list_page(backend, "ann", limit=2, after=after)
        seen += [job.id for job in page.data]
        after = page.next
        if not page.has_more:
            break
    assert seen == made[::-1]
    assert after is None
    with pytest.raises(InvalidInput):
        jobs.list_page(backend, "ann", after="job-unknown")
    assert [job.name for job in jobs.list_page(backend, "ann", name="B 3").data] == ["job 3"]
    assert jobs.counts(backend, "ann")["queued"] == 5


def test_waiting_ends_with_a_change_or_with_time(backend: Backend, submit: Submit) -> None:
    job = submit()
    began = time.monotonic()
    assert jobs.wait(backend, "ann", job.id, 0.3).version == job.version
    assert time.monotonic() - began >= 0.3
    assert jobs.wait(backend, "ann", job.id, 60, seen_version=job.version - 1).id == job.id
    jobs.cancel(backend, "ann", job.id)
    assert jobs.wait(backend, "ann", job.id, 60).state is JobState.CANCELLED


def test_a_dataset_in_use_is_kept(backend: Backend, submit: Submit) -> None:
    job = submit()
    with pytest.raises(WrongState):
        datasets.delete(backend, "ann", str(job.dataset))
    jobs.cancel(backend, "ann", job.id)
    datasets.delete(backend, "ann", str(job.dataset))
    assert jobs.get(backend, "ann", job.id).dataset is None
