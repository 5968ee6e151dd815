"""Checkpoints that are damaged or missing, and stores that do not take what was trained."""

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import torch
from safetensors.torch import load_file

from lstmcore.config import parse_config
from lstmcore.corpus import read_corpus
from lstmcore.sampling import load_model
from lstmcore.training import StepDone, Trainer
from tests.worker.conftest import LINES
from tests.worker.test_recovery import backdate
from worker import database, datasets, events, jobs, leases, models, predict, slices, submissions
from worker.backend import Backend
from worker.errors import Damaged, StoreError, Unavailable
from worker.predictions import Predictor
from worker.records import Job, JobState
from worker.slices import SliceRunner
from worker.store import ArtifactStore
from worker.verification import verify

CONFIG: dict[str, Any] = {
    "preset": "word",
    "model": {"embed_dim": 8, "hidden_dim": 8, "dropout": 0.2},
    "training": {"epochs": 60, "batch_size": 2, "bptt": 4, "patience": None},
}


@pytest.fixture
def brief(backend: Backend) -> Backend:
    """The backend with slices of a few steps."""
    backend.settings.__dict__["slice_seconds"] = 0.02
    return backend


@pytest.fixture
def job(brief: Backend) -> Job:
    text = datasets.create(brief, "ann", name="text", data=LINES.encode() * 4, layout="text")
    return submissions.submit_train(brief, "ann", name="text", dataset=text.id, config=CONFIG)


def one_slice(backend: Backend) -> Job:
    """A slice by a worker that remembers nothing, its failures handled as `tasks` does."""
    backdate(backend, "not_before", 1)
    claim = leases.claim(backend, "train", "holder")
    assert claim is not None
    try:
        return SliceRunner(backend, "worker").run(claim)
    except StoreError as error:
        waiting = leases.postpone(backend, claim, error)
        assert waiting is not None
        return waiting


def finish(backend: Backend) -> Job:
    """The rest of the training in one slice: each costs a fixed time, on a slow machine a long."""
    backend.settings.__dict__["slice_seconds"] = 600.0
    job = one_slice(backend)
    assert job.state.final
    return job


def path_of(backend: Backend, key: str) -> Path:
    assert backend.store.folder is not None
    return backend.store.folder / key


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(data if how == "flipped" else data[: len(data) // 2])


def told(backend: Backend, job: Job) -> str:
    found = events.after(backend, job.id, limit=1000)
    return "\n".join(event.data["message"] for event in found if event.type == "log")


def weights(folder: Path) -> dict[str, bytes]:
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def straight(job: Job, folder: Path) -> dict[str, bytes]:
    """What a training that nothing happens to ends with."""
    corpus = read_corpus(LINES.encode() * 4, "text", layout="text").corpus
    trainer = Trainer.start(parse_config(job.config), corpus, threads=1)
    for _ in trainer.run():
        pass
    trainer.write_best(folder)
    return weights(folder)


def test_token_ids_are_kept_between_slices_and_change_nothing(
    brief: Backend, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "CACHED_BYTES", 0)
    assert job.dataset is not None
    folder = brief.token_ids(job.dataset)
    for _ in range(2):
        job = one_slice(brief)
    assert any(folder.glob("*/ids"))
    for file in folder.glob("*/ids"):  # damaged ones are made again
        damage(file, "flipped")
    job = finish(brief)
    assert not folder.exists()
    model = models.get(brief, "ann", str((job.result or {})["model"]))
    assert weights(models.download(brief, model, tmp_path / "a")) == straight(job, tmp_path / "b")


@pytest.mark.parametrize("how", ["flipped", "torn", "missing"])
def test_a_damaged_checkpoint_costs_a_slice_and_changes_nothing(
    brief: Backend, job: Job, tmp_path: Path, how: str
) -> None:
    for _ in range(3):
        job = one_slice(brief)
    assert job.checkpoint is not None
    assert job.previous_checkpoint is not None
    damage(path_of(brief, job.checkpoint.key), how)
    after = one_slice(brief)
    assert after.previous_checkpoint == job.previous_checkpoint  # never the damaged one
    assert after.slices == job.slices + 1
    assert "the one before it is used" in told(brief, job)
    brief.store.read(job.previous_checkpoint)  # what was good is still there
    after = finish(brief)
    assert after.result is not None
    model = models.get(brief, "ann", after.result["model"])
    assert weights(models.download(brief, model, tmp_path / "found")) == straight(
        after, tmp_path / "straight"
    )


def test_a_training_that_runs_away_fails_with_advice_and_keeps_its_last_checkpoint(
    brief: Backend, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = one_slice(brief)
    assert good.checkpoint is not None
    step = Trainer._train_step

    def spoiled(trainer: Trainer) -> StepDone:
        with torch.no_grad():
            trainer.language_model.model.output.bias[0] = math.inf
        return step(trainer)

    monkeypatch.setattr(Trainer, "_train_step", spoiled)
    failed = one_slice(brief)
    assert failed.state is JobState.FAILED
    assert "Lower the learning rate" in str((failed.error or {})["message"])
    assert failed.checkpoint == good.checkpoint
    brief.store.download(good.checkpoint, tmp_path / "kept.safetensors")
    corpus = read_corpus(LINES.encode() * 4, "text", layout="text").corpus
    kept = Trainer.resume(tmp_path / "kept.safetensors", corpus).language_model.model
    assert all(tensor.isfinite().all() for tensor in kept.tensors().values())
    # And the best model until then, as after a cancel.
    assert failed.result is not None
    assert failed.result["stopped"] == "failed"
    best = models.get(brief, "ann", failed.result["model"])
    model = load_model(models.download(brief, best, tmp_path / "model")).model
    assert all(tensor.isfinite().all() for tensor in model.tensors().values())
    jobs.delete(brief, "ann", failed.id)
    assert verify(brief).missing == verify(brief).damaged == []
    models.delete(brief, "ann", best.id)


def test_without_any_good_checkpoint_the_training_starts_over(brief: Backend, job: Job) -> None:
    for _ in range(3):
        job = one_slice(brief)
    for file in (job.checkpoint, job.previous_checkpoint):
        assert file is not None
        damage(path_of(brief, file.key), "flipped")
    after = one_slice(brief)
    assert after.slices == job.slices + 1
    assert after.previous_checkpoint is None
    assert "starts over" in told(brief, job)


def test_a_damaged_model_gives_an_error_and_never_text(brief: Backend, job: Job) -> None:
    job = finish(brief)
    assert job.result is not None
    model = models.get(brief, "ann", job.result["model"])
    damage(path_of(brief, model.files["model.safetensors"].key), "flipped")
    predictor = Predictor(brief, "predictor", lambda: False)
    answer = predict.stream_now(brief, "ann", model.id, ["what"], {"max_tokens": 3})
    predictor.serve()
    with pytest.raises(Unavailable, match="damaged"):
        next(answer)
    durable = submissions.submit_predict(
        brief, "ann", name=None, model=model.id, prompts=["what"], sampling={}
    )
    claim = leases.claim(brief, "predict", "holder")
    assert claim is not None
    assert predictor.run(claim).state is JobState.FAILED
    assert "damaged" in str(jobs.get(brief, "ann", durable.id).error)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A real file system with three megabytes."""
    folder = Path(tempfile.mkdtemp(prefix="lstmq-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_store_that_takes_nothing_only_delays(
    brief: Backend, small_disk: Path, trouble: str
) -> None:
    object.__setattr__(brief, "store", ArtifactStore((small_disk / "store").as_uri()))
    text = datasets.create(brief, "ann", name="text", data=LINES.encode() * 4, layout="text")
    job = submissions.submit_train(brief, "ann", name="text", dataset=text.id, config=CONFIG)
    before = one_slice(brief)
    if trouble == "full":
        (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for _ in range(leases.MOST_ATTEMPTS + 1):  # no poison
        waiting = one_slice(brief)
        assert waiting.state is JobState.QUEUED
        assert waiting.checkpoint == before.checkpoint
    assert "full" in told(brief, job) or "not writable" in told(brief, job)
    if trouble == "full":
        (small_disk / "ballast").unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    after = one_slice(brief)
    assert after.slices == before.slices + 1
    assert after.previous_checkpoint == before.checkpoint


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_hurts_nothing(
    small_disk: Path,
) -> None:
    store = ArtifactStore(small_disk.as_uri())
    good = store.put("a/1", b"good" * 100_000)
    with pytest.raises(StoreError, match="cannot be written"):
        store.put("a/2", bytes(4_000_000))
    assert store.read(good)
    assert [path.name for path in (small_disk / "a").iterdir()] == ["1"]
    store.put("a/2", b"another try")


def test_a_postponed_slice_waits_longer_each_time_and_gives_up_in_the_end(
    brief: Backend, job: Job
) -> None:
    waits = []
    for _ in range(leases.MOST_POSTPONEMENTS_OF_DAMAGED):
        backdate(brief, "not_before", 1)
        claim = leases.claim(brief, "train", "holder")
        assert claim is not None
        leases.postpone(brief, claim, Damaged("the artifact datasets/x is missing"))
        with brief.database.reading() as connection:
            wait = connection.scalar(
                sa.select(database.jobs.c.not_before - database.jobs.c.waiting_since)
            )
        waits.append(round(wait or 0))
    assert waits[:-1] == [2**n for n in range(leases.MOST_POSTPONEMENTS_OF_DAMAGED - 1)]
    final = jobs.get(brief, "ann", job.id)
    assert final.state is JobState.FAILED
    assert "datasets/x is missing" in str(final.error)


def test_a_cancel_is_not_lost_with_the_child_that_should_have_answered(
    brief: Backend, job: Job
) -> None:
    claim = leases.claim(brief, "train", "holder")
    assert claim is not None
    jobs.cancel(brief, "ann", job.id)
    leases.give_back(brief, claim.owner, "signal 9")
    assert jobs.get(brief, "ann", job.id).state is JobState.CANCELLED


def test_records_that_are_away_for_a_moment_are_no_poison(brief: Backend, job: Job) -> None:
    for _ in range(leases.MOST_ATTEMPTS + 1):
        backdate(brief, "not_before", 1)
        claim = leases.claim(brief, "train", "holder")
        assert claim is not None
        leases.postpone(brief, claim, Unavailable("the records cannot be reached"))
    waiting = jobs.get(brief, "ann", job.id)
    assert (waiting.state, waiting.attempts) == (JobState.QUEUED, 0)
