"""Prediction jobs take turns: what is published stays, nothing is answered twice."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from lstmcore.config import resolve_config
from lstmcore.corpus import read_corpus, summarize
from lstmcore.training import Trainer
from tests.worker.test_leases import expire
from worker import answers, database, jobs, leases, models, predictions, recovery, submissions
from worker.backend import Backend
from worker.errors import LeaseLost
from worker.predictions import Predictor
from worker.records import Job, JobState, Model

PROMPTS = [f"the {word} sat on" for word in ("cat", "dog", "hen", "cow")]
SAMPLING = {"seed": 5, "max_tokens": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few steps."""
    corpus = read_corpus(b"the cat sat on the mat and the hen by the cow\n" * 9, "text").corpus
    config = {"preset": "word", "model": {"embed_dim": 8, "hidden_dim": 8}}
    asked = resolve_config(config | {"training": {"epochs": 1}}, summarize(corpus))
    trainer = Trainer.start(asked, corpus, threads=1)
    for _ in trainer.run():
        pass
    folder = tmp_path_factory.mktemp("model")
    trainer.write_best(folder)
    return folder


@pytest.fixture
def model(backend: Backend, folder: Path) -> Model:
    return models.import_folder(backend, "ann", "tiny", folder)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of one prompt."""
    monkeypatch.setattr(predictions, "TURN_SECONDS", 0.0)


def submit(backend: Backend, model: Model) -> Job:
    return submissions.submit_predict(
        backend, "ann", name=None, model=model.id, prompts=PROMPTS, sampling=SAMPLING
    )


def turn(backend: Backend) -> Job:
    claim = leases.claim(backend, "predict", "holder")
    assert claim is not None
    return Predictor(backend, "predictor", lambda: False).run(claim)


def texts(job: Job) -> list[str]:
    assert job.result is not None
    return [result["completions"][0]["text"] for result in job.result["results"]]


def left(backend: Backend) -> int:
    with backend.database.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(database.answers)) or 0


def test_many_turns_say_what_one_says(backend: Backend, model: Model, brief: None) -> None:
    job = submit(backend, model)
    for done in range(1, len(PROMPTS)):
        job = turn(backend)
        assert (job.state, job.progress.step, left(backend)) == (JobState.RUNNING, done, done)
    final = turn(backend)
    assert (final.state, final.slices, left(backend)) == (JobState.SUCCEEDED, len(PROMPTS), 0)
    predictions.TURN_SECONDS = 60.0
    submit(backend, model)
    at_once = turn(backend)
    assert at_once.slices == 1
    assert texts(at_once) == texts(final)


def test_two_jobs_take_turns(backend: Backend, model: Model, brief: None) -> None:
    first, second = submit(backend, model), submit(backend, model)
    assert [turn(backend).id for _ in range(4)] == [first.id, second.id] * 2


def test_a_lost_turn_is_done_again_and_no_other(
    backend: Backend, model: Model, brief: None
) -> None:
    job = submit(backend, model)
    turn(backend)
    zombie = leases.claim(backend, "predict", "zombie")
    assert zombie is not None
    expire(backend, zombie)
    recovery.sweep(backend)
    turn(backend)
    with pytest.raises(LeaseLost):
        Predictor(backend, "zombie", lambda: False).run(zombie)
    assert len(answers.published(backend, job.id)) == 2
    for _ in range(2):
        final = turn(backend)
    assert len(texts(final)) == len(PROMPTS)


def test_a_cancel_between_turns_leaves_nothing_behind(
    backend: Backend, model: Model, brief: None
) -> None:
    job = submit(backend, model)
    turn(backend)
    assert jobs.cancel(backend, "ann", job.id).state is JobState.CANCELLED
    assert left(backend) == 0


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("time.sleep(30)", 1),
        # Holds the interpreter all the while: no thread of Python's could end it.
        ("re.match('(a+)+$', 'a' * 64 + 'b')", 1),
        ("[(time.sleep(0.05), fuse.step()) for _ in range(60)]", 0),
    ],
)
def test_a_predictor_that_hangs_ends_itself(work: str, code: int) -> None:
    program = f"""
import re, time
from worker.fuse import Fuse
with Fuse(2.0) as fuse:
    {work}
time.sleep(1)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], timeout=25, capture_output=True, check=False
    )
    assert run.returncode == code
    assert (b"Timeout" in run.stderr) == bool(code)
