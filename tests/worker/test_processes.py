"""Real workers on a real queue: what dies, waits or is asked to stop changes no result."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from safetensors.torch import load_file

from lstmcore.config import parse_config
from lstmcore.corpus import read_corpus
from lstmcore.training import Trainer
from tests.processes import eventually, marked
from tests.test_up import Service
from tests.worker.servers import memory_folder
from web.client import Client, Json
from worker import database, events, jobs, models, submissions
from worker.backend import Backend, open_backend
from worker.settings import Settings

TEXT = "the cat sat on the mat and the dog lay by the door while the rain fell .\n" * 60
SHORT_SLICES = {"LSTMQ_SLICE_SECONDS": "0.5", "LSTMQ_LEASE_SECONDS": "4"}
LONG_TRAINING = {
    "preset": "word",
    "model": {"embed_dim": 48, "hidden_dim": 96, "dropout": 0.2},
    "training": {"epochs": 100, "batch_size": 4, "bptt": 16, "patience": None},
}
OWNER = "local"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service with short slices for all tests of this file.

    A slice is never shorter than its saving is worth, which takes long on a slow disk.
    """
    parent = Path(tempfile.mkdtemp(prefix="lstmq-", dir=memory_folder()))
    with Service(parent / "var", settings=SHORT_SLICES) as running:
        running.url()
        yield running
        running.stop(seconds=30)  # how fast is another test's question
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url()) as opened:
        yield opened


@pytest.fixture(scope="module")
def records(service: Service) -> Iterator[Backend]:
    """The service's own records and artifacts, seen from beside it."""
    backend = open_backend(Settings(data_dir=service.folder))
    yield backend
    backend.close()


def started(client: Client, text: Path, steps: int = 0, times: int = 10) -> str:
    """A training that has taken some steps; `times` the text, ten where it is not awaited."""
    text.write_text(TEXT * times)
    job = client.train(client.upload(text)["id"], config=LONG_TRAINING)
    eventually(lambda: client.job(job["id"])["progress"]["step"] > steps)
    return str(job["id"])


def training_child(service: Service) -> int:
    """The process that trains: the only child of the training worker."""
    parent = service.process_of("train-1")
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def weights_of(records: Backend, job: Json, folder: Path) -> dict[str, bytes]:
    model = models.get(records, OWNER, job["result"]["model"])
    models.download(records, model, folder)
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_a_killed_training_ends_with_the_same_weights_to_the_bit(
    service: Service, client: Client, records: Backend, tmp_path: Path
) -> None:
    job_id = started(client, tmp_path / "text.txt", steps=20, times=2)
    for _ in range(2):
        seen = client.job(job_id)["slices"]
        os.kill(training_child(service), signal.SIGKILL)
        eventually(lambda: client.job(job_id)["slices"] > seen)  # noqa: B023
    job = client.finished(job_id)
    assert job["state"] == "succeeded", job["error"]
    assert job["slices"] > 3

    straight = Trainer.start(
        parse_config(job["config"]), read_corpus((TEXT * 2).encode(), "text.txt").corpus, threads=1
    )
    for _ in straight.run():
        pass
    straight.write_best(tmp_path / "straight")
    expected = load_file(tmp_path / "straight" / "model.safetensors")
    found = weights_of(records, job, tmp_path / "service")
    assert found == {name: tensor.numpy().tobytes() for name, tensor in expected.items()}


def test_a_killed_worker_is_replaced_and_its_job_goes_on(
    service: Service, client: Client, tmp_path: Path
) -> None:
    job_id = started(client, tmp_path / "text.txt", times=1)
    os.killpg(service.process_of("train-1"), signal.SIGKILL)
    assert client.finished(job_id)["state"] == "succeeded"


def test_a_wiped_queue_loses_nothing(
    service: Service, client: Client, records: Backend, tmp_path: Path
) -> None:
    job_id = started(client, tmp_path / "text.txt", times=1)
    with redis.Redis.from_url(records.settings.effective_redis_url) as queue:
        for _ in range(3):
            queue.flushall()
            time.sleep(0.7)
    assert client.finished(job_id)["state"] == "succeeded"


def frozen_in_a_slice(records: Backend, queue: int) -> bool:
    """Stop the queue's process; not between two slices, where a worker waits for its message."""
    os.kill(queue, signal.SIGSTOP)
    held = sa.select(database.jobs.c.id).where(database.jobs.c.lease_until.is_not(None))
    with records.database.reading() as connection:
        if connection.scalar(held) is not None:
            return True
    os.kill(queue, signal.SIGCONT)
    return False


def test_trainings_go_on_while_the_queue_is_frozen(
    service: Service, client: Client, records: Backend, tmp_path: Path
) -> None:
    job_id = started(client, tmp_path / "text.txt", times=4)
    queue = service.process_of("queue")
    eventually(lambda: frozen_in_a_slice(records, queue))
    try:
        seen = jobs.get(records, OWNER, job_id).slices
        # The second one at least was claimed while nobody could ring for it.
        eventually(lambda: jobs.get(records, OWNER, job_id).slices >= seen + 2)
    finally:
        os.kill(queue, signal.SIGCONT)
    assert client.finished(job_id)["state"] == "succeeded"


def test_pause_resume_and_cancel_take_effect_soon_and_keep_a_model(
    client: Client, records: Backend, tmp_path: Path
) -> None:
    job_id = started(client, tmp_path / "text.txt")
    jobs.pause(records, OWNER, job_id)
    eventually(lambda: client.job(job_id)["state"] == "paused", seconds=10)
    step = client.job(job_id)["progress"]["step"]
    time.sleep(1.0)
    assert client.job(job_id)["progress"]["step"] == step
    jobs.resume(records, OWNER, job_id)
    eventually(lambda: client.job(job_id)["progress"]["step"] > step)
    jobs.cancel(records, OWNER, job_id)
    eventually(lambda: client.job(job_id)["state"] == "cancelled", seconds=10)
    model = client.job(job_id)["result"]["model"]
    (result,) = client.predict(model, ["the cat"], {"max_tokens": 3, "seed": 1})
    assert result["completions"][0]["text"]


def test_a_short_job_overtakes_a_long_one(client: Client, records: Backend, tmp_path: Path) -> None:
    long_job = started(client, tmp_path / "text.txt")
    tutorial = tmp_path / "tutorial.txt"
    tutorial.write_text("what is capital of India : Delhi\n")
    short = client.train(client.upload(tutorial)["id"], config={"preset": "tutorial"})
    assert client.finished(short["id"])["state"] == "succeeded"
    assert client.job(long_job)["state"] == "running"
    jobs.cancel(records, OWNER, long_job)
    client.finished(long_job)


def test_the_trainings_parent_never_loads_torch(service: Service, client: Client) -> None:
    maps = Path(f"/proc/{service.process_of('train-1')}/maps").read_text()
    assert "libtorch" not in maps
    assert "libtorch" in Path(f"/proc/{training_child(service)}/maps").read_text()


def test_predictions_answer_while_a_training_runs(
    client: Client, records: Backend, tmp_path: Path
) -> None:
    tutorial = tmp_path / "tutorial.txt"
    tutorial.write_text("what is capital of India : Delhi\nwhat is your name : Jay\nok")
    done = client.finished(
        client.train(client.upload(tutorial)["id"], config={"preset": "tutorial"})["id"]
    )
    job_id = started(client, tmp_path / "text.txt")
    (result,) = client.predict(done["result"]["model"], ["what is capital of"], {"max_tokens": 1})
    assert result["next_tokens"][0]["token"] == "india"
    assert client.job(job_id)["state"] == "running"
    jobs.cancel(records, OWNER, job_id)
    client.finished(job_id)


def test_a_durable_prediction_is_the_same_every_time(client: Client, records: Backend) -> None:
    (model, *_) = client.newest("models")

    def predicted() -> Json:
        job = submissions.submit_predict(
            records,
            OWNER,
            name=None,
            model=model["id"],
            prompts=["what", "what is"],
            sampling={"seed": 7, "max_tokens": 5},
        )
        result: Json = client.finished(job.id)["result"]
        return {"texts": [each["completions"][0]["text"] for each in result["results"]]}

    assert predicted() == predicted()


def test_stopping_the_service_publishes_a_shorter_slice(tmp_path: Path) -> None:
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    long_slices = {"LSTMQ_SLICE_SECONDS": "600"}
    with Service(parent / "var", settings=long_slices) as running, Client(running.url()) as client:
        job_id = started(client, tmp_path / "text.txt", steps=30)
        assert client.job(job_id)["slices"] == 0
        running.stop()
    assert not marked(running.mark)
    backend = open_backend(Settings(data_dir=parent / "var"))
    job = jobs.get(backend, OWNER, job_id)
    backend.close()
    shutil.rmtree(parent)
    assert job.slices == 1
    assert job.progress.step >= 30


def test_a_hung_child_is_ended_and_its_job_goes_on(tmp_path: Path) -> None:
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    # The lease is long: it is the parent that must find out.
    hurried = {"LSTMQ_SLICE_SECONDS": "2", "LSTMQ_LEASE_SECONDS": "60", "LSTMQ_HANG_SECONDS": "6"}
    with Service(parent / "var", settings=hurried) as running, Client(running.url()) as client:
        job_id = started(client, tmp_path / "text.txt", steps=20)
        child = training_child(running)
        os.kill(child, signal.SIGSTOP)
        eventually(lambda: not Path(f"/proc/{child}").exists(), seconds=20)
        seen = client.job(job_id)["progress"]["step"]
        eventually(lambda: client.job(job_id)["progress"]["step"] > seen)
        with closing(open_backend(Settings(data_dir=running.folder))) as records:
            told = [event.data.get("message", "") for event in events.after(records, job_id)]
        assert any("took no step" in message for message in told)
    shutil.rmtree(parent)
